"""Slow imports, made once by the process from which tests/harness/faults/work.py forks its processes."""

import expectations.gate  # noqa: F401
import heart_disease.training.engine  # noqa: F401
import tasks.register  # noqa: F401
from heart_disease.reporting.terminal import import_tensorflow

import_tensorflow()
