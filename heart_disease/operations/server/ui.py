"""`heart ui`: shows MLflow's and Prefect's pages for the embedded stores until Ctrl-C.

If MLFLOW_TRACKING_URI names a server, that one shows its page itself.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from contextlib import ExitStack

from heart_disease import registry
from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.operations.server import own
from heart_disease.operations.server.server import ANYWHERE, problem_of
from heart_disease.processes import tethered
from heart_disease.processes.loopback import check_free
from heart_disease.reporting.terminal import say
from heart_disease.training.interrupts import answered

END_SECONDS = 20  # seconds a page has to end with all its processes before it is killed


def run(mlflow_port: int, prefect_port: int) -> None:
    """Start both, say where they are, and stop both on Ctrl-C or when one of them ends.

    Raises:
        UsageError: a port makes no sense.
        UnavailableError: a port is taken, or one of them could not start, or ended by itself.
    """
    if mlflow_port == prefect_port:
        raise UsageError(f"--mlflow-port and --prefect-port are both {mlflow_port}; expected two ports")
    check_free(prefect_port, "Prefect's page", "--prefect-port")
    store = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    api = f"http://127.0.0.1:{prefect_port}/api"
    commands = {
        "MLflow": [
            "mlflow", "ui", "--backend-store-uri", store, "--port", str(mlflow_port), "--workers", "1",
        ],
        "Prefect": ["prefect", "server", "start", "--port", str(prefect_port)],
    }  # fmt: skip
    waiting = {"MLflow": f"http://127.0.0.1:{mlflow_port}/health", "Prefect": f"{api}/health"}
    if store.startswith("http"):  # a server, which has a page of its own
        del commands["MLflow"], waiting["MLflow"]
    else:
        check_free(mlflow_port, "MLflow's page", "--mlflow-port")
    with answered(KeyboardInterrupt), own.prefect_settings(api), ExitStack() as stack:
        its = {"MLflow": (own.mlflow_environment(), None), "Prefect": (own.prefect_page(api), ANYWHERE)}
        processes = {
            name: stack.enter_context(
                tethered.running(*command, env=env, output=subprocess.DEVNULL, patience=END_SECONDS, folder=folder)
            )
            for name, command in commands.items()
            for env, folder in [its[name]]
        }
        say("starting, about 15 seconds ...")
        while True:
            for name, process in processes.items():
                if process.poll() is not None:
                    raise UnavailableError(
                        f"{name}'s server ended with code {process.returncode}; see why with: "
                        f"{shlex.join(['python', '-m', *commands[name]])}"
                    )
            if waiting:
                waiting = {name: url for name, url in waiting.items() if problem_of(url)}
                if not waiting:
                    page = registry.training_url(
                        f"http://127.0.0.1:{mlflow_port}" if "MLflow" in commands else registry.page()
                    )
                    print(f"MLflow   {page}\nPrefect  http://127.0.0.1:{prefect_port}", flush=True)
                    say("Ctrl-C stops both.")
            time.sleep(0.5)
