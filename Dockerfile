# One image for all our services: mlflow, prefect, deploy, worker, api. For a GPU: --build-arg LOCK=gpu.lock
FROM python:3.12.12-slim-bookworm AS packages
ARG LOCK=server.lock
COPY ${LOCK} /packages.lock
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /packages.lock

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 10001 --user-group --create-home heart \
    && install --directory --owner=heart --group=heart /artifacts /prefect-home /patients /cache
ENV PATH=/venv/bin:$PATH HOME=/home/heart PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=packages /venv /venv
WORKDIR /app
# The project comes last: a changed line copies these files again, and not the 3 GB of packages. The mode makes them
# readable for the user below, whatever the umask of the checkout.
COPY --chmod=755 . .
RUN pip install --no-cache-dir --no-index --no-deps --no-build-isolation -e .
USER heart
CMD ["heart", "--help"]
