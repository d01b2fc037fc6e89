"""How a program of the servers ends."""

from __future__ import annotations

import pytest

from heart_disease.model.errors import ExitCode, UnavailableError
from heart_disease.processes.told import told


def test_an_error_that_its_user_can_correct_is_one_message_and_its_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        raise UnavailableError("MLflow does not answer.")

    assert told(work) == ExitCode.UNAVAILABLE
    assert capsys.readouterr() == ("", "heart: MLflow does not answer.\n")


def test_any_other_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        told(lambda: 1 / 0)


def test_without_an_error_it_is_done() -> None:
    assert told(lambda: "whatever") == ExitCode.DONE
