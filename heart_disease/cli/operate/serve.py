"""`heart serve`: the page for one patient and the scoring API."""

from __future__ import annotations

import argparse

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode

EXAMPLE = """example:
  curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict -d '
    {"patients": [{"age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233,
    "fbs": 1, "restecg": 2, "thalach": 150, "exang": 0, "oldpeak": 2.3,
    "slope": 3, "ca": 0, "thal": null}]}'

  GET  /              a page for people: one patient, or a CSV file
  POST /explain       like /predict, at most 10: also what drives each answer
  POST /predict.csv   a CSV file in, the same with answers out
  POST /invocations   protocol of `mlflow models serve`; also /ping, /version
  GET  /model         the version, its columns, since when, and what is wrong
  GET  /metrics       for Prometheus
  GET  /health        200 if a model is loaded; needs no token
  GET  /openapi.json  all of this, for programs
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Options: where to listen, and what to serve."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one (default 8000)")
    parser.add_argument(
        "--version", default="champion", metavar="VERSION", help="a number, or an alias to follow (default %(default)s)"
    )
    parser.add_argument(
        "--wait", action="store_true", help="start even if there is no such alias yet, and answer 503 until there is"
    )
    parser.add_argument(
        "--abstain", action="store_true",
        help="give no probability to a patient unlike those that the version learned from, but the reason",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        HeartError: there is no such version, or the address cannot be used.
    """
    from heart_disease.serving import server

    server.run(options.host, options.port, options.version, options.wait, options.abstain)
    return ExitCode.DONE


COMMAND = Command(
    name="serve",
    help="a page for one patient and an API: patients in, probabilities out",
    description="Serve the champion over HTTP, and every later champion, until Ctrl-C. If the variable "
    "HEART_API_TOKEN is set, only requests that send it are answered; the page asks for it.",
    add=add,
    run=run,
    epilog=EXAMPLE,
    no_facts="It runs until it is ended; its API answers in JSON.",
)
