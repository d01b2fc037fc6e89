"""Before any alias moves, a fresh process must load the version and score patients over HTTP as the model here does.

That process is the API of `heart serve`, on a free port of this machine, for this one version. It starts while there
is other work, and is told the version once that is registered. It ends when its standard input ends, and so with the
process that started it, however that ends.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pandas as pd

from heart_disease import registry
from heart_disease.model import schema
from heart_disease.model.errors import UnavailableError
from heart_disease.model.patient_model import PatientModel, difference
from heart_disease.processes import tethered
from heart_disease.processes.process import last_words
from heart_disease.registry import ModelRef
from heart_disease.serving.follower import TOKEN, Follower

SECONDS = 120  # it has to start, load and answer on a busy machine
END_SECONDS = 10
ROWS = 500  # at most this many patients are sent; the API takes 1000
ROOT = Path(__file__).resolve().parent.parent.parent


class FreshProcess:
    """A process that imports what the API needs, and waits for a version. It will answer on `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, said: IO[bytes], token: str) -> None:
        self.process, self.port, self._said, self._token = process, port, said, token

    def check(self, ref: ModelRef, model: PatientModel, patients: pd.DataFrame) -> None:
        """Let it load `ref` and score the first ROWS of `patients`, and compare the answers with those of `model`.

        Raises:
            UnavailableError: it does not answer in time, or its answers differ from those of `model`.
        """
        rows = patients[list(schema.INPUT_NAMES)].head(ROWS)
        try:
            gap = difference(self._ask(ref, rows), model.predict(rows))
            if not gap <= registry.SAME:
                by = f"probabilities differ by up to {gap:g}, expected at most {registry.SAME:g}"
                raise ValueError(f"its {by if math.isfinite(gap) else 'answers or words differ'}")
        except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
            if isinstance(error, ConnectionError):  # it is ending; after that its last words are known
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=END_SECONDS)
            raise UnavailableError(
                f"{ref.name} version {ref.version} failed its test, in which a fresh process loads it and scores "
                f"patients over HTTP: {self._last_words() or error}. Expected the answers of the model in memory. No "
                "alias was moved."
            ) from error

    def _ask(self, ref: ModelRef, rows: pd.DataFrame) -> pd.DataFrame:
        assert self.process.stdin
        self.process.stdin.write(f"{ref.version}\n".encode())
        self.process.stdin.flush()
        # This ignores any proxy in the environment. A connection made before the process answers waits in its queue.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        patients = rows.astype("object").where(rows.notna(), None).to_dict("records")
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection.request("POST", "/predict", json.dumps({"patients": patients}), headers)
        response = connection.getresponse()
        content = json.loads(response.read())
        if response.status != 200 or content["version"] != ref.version:
            raise ValueError(f"it answered HTTP {response.status}: {content.get('detail', content.get('version'))}")
        return pd.DataFrame(content["answers"]).astype({"probability": "float64"})

    def _last_words(self) -> str:
        """What it said before it ended; empty while it runs."""
        if self.process.poll() is None:
            return ""
        return last_words(self._said, self.process.returncode)


@contextmanager
def fresh_process() -> Iterator[FreshProcess]:
    """A process that is starting; it is killed at the end of the block."""
    token = secrets.token_hex()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # the same code as here
    with tempfile.TemporaryFile() as said:
        with socket.create_server(("127.0.0.1", 0)) as listener:  # then only the child's, and closed when it ends
            port = int(listener.getsockname()[1])
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "heart_disease.serving.rehearsal", str(listener.fileno())],
                env={**os.environ, TOKEN: token, "PYTHONPATH": path}, pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
                start_new_session=True,  # Ctrl-C must reach only the process that started it
            )  # fmt: skip
        try:
            yield FreshProcess(process, port, said, token)
        finally:
            process.kill()  # it has nothing to lose
            process.wait()
            with suppress(OSError):
                process.communicate()


def main() -> None:
    """What the fresh process does."""
    from heart_disease.serving import server

    version = sys.stdin.readline().strip()

    def end_with_the_starter() -> None:
        tethered.wait_for_the_starter()
        os._exit(0)

    if version:
        threading.Thread(target=end_with_the_starter, daemon=True).start()
        follower = Follower(version)
        follower.refresh()
        if follower.problem:
            sys.exit(follower.problem)
        server.serve(socket.socket(fileno=int(sys.argv[1])), follower)


if __name__ == "__main__":
    main()
