"""What takes long to import, for the process from which tests/faults.py forks its own."""

import expectations.gate  # noqa: F401
import flows.publish  # noqa: F401
import tasks.training  # noqa: F401
from flows.terminal import import_tensorflow

import_tensorflow()
