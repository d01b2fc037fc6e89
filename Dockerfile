# One image for all our services: mlflow, prefect, deploy, worker, api. For a GPU: --build-arg LOCK=gpu.lock
FROM python:3.12.12-slim-bookworm AS packages
ARG LOCK=server.lock
COPY ${LOCK} /packages.lock
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /packages.lock

WORKDIR /app
COPY . .
RUN /venv/bin/pip install --no-index --no-deps --no-build-isolation -e .

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 10001 --user-group --create-home heart \
    && install --directory --owner=heart --group=heart /artifacts
COPY --from=packages /venv /venv
COPY --from=packages /app /app
ENV PATH=/venv/bin:$PATH HOME=/home/heart PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER heart
CMD ["heart", "--help"]
