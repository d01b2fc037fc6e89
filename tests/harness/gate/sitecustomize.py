"""For the processes of a worker under test: a training waits at a gate, and a run renews its lease every three seconds.

Python runs this at its start if the folder is on PYTHONPATH. HEART_TEST_GATE: a folder; a training writes the file
`reached` into it, and goes on once there is a file `open`.
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

LEASES, ENGINE = "prefect.concurrency._leases", "heart_disease.training.engine"


def wait_at_the_gate(engine):
    """Make the engine's `train` wait."""
    train, gate = engine.train, Path(os.environ["HEART_TEST_GATE"])

    def waits(*given, **named):
        (gate / "reached").touch()
        while not (gate / "open").exists():
            time.sleep(0.1)
        return train(*given, **named)

    engine.train = waits


def renew_often(leases):
    """A lease is renewed after this share of its 300 seconds."""
    leases._RENEWAL_FRACTION = 0.01


CHANGES = {LEASES: renew_often, ENGINE: wait_at_the_gate}


class Changed:
    """Finds these two modules, and changes them when they have been imported."""

    def find_spec(self, name, path=None, target=None):
        change = CHANGES.pop(name, None)
        spec = importlib.util.find_spec(name) if change else None
        if spec:
            run = spec.loader.exec_module

            def run_and_change(module):
                run(module)
                change(module)

            spec.loader.exec_module = run_and_change
        return spec


sys.meta_path.insert(0, Changed())
