"""Ctrl-C and SIGTERM: none is lost, wherever the program happens to be when it comes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from heart_disease.cli import main
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.training.interrupts import answered, not_lost, undisturbed
from tests.harness.command import heart


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of the `heart` command, and at the end those of before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, main._terminate)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Finaliser:
    """Python drops what is raised while this is deleted."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


def within_a_finaliser(number: int) -> None:
    Finaliser(number)


def where_everything_is_caught(number: int) -> None:
    with suppress(BaseException):
        signal.raise_signal(number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("somewhere", [within_a_finaliser, where_everything_is_caught])
@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_whose_exception_is_dropped_is_raised_at_the_end(
    somewhere: Callable[[int], None], number: int, error: type[BaseException]
) -> None:
    done: list[str] = []

    @not_lost()
    def work() -> None:
        somewhere(number)
        done.append("what follows")

    with pytest.raises(error):
        work()
    assert done == ["what follows"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_command_whose_ctrl_c_was_dropped_says_that_it_was_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: object) -> int:
        within_a_finaliser(signal.SIGINT)
        return ExitCode.DONE

    command = Command("work", "works", "Works.", lambda parser: None, run)
    monkeypatch.setattr(main, "GROUPS", {"all": (command,)})
    assert heart("work") == ExitCode.STOPPED
    assert "heart: stopped" in capsys.readouterr().err


def test_a_signal_ends_the_block_where_it_comes() -> None:
    done: list[str] = []

    @not_lost()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("what follows")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == []


def test_a_signal_that_ends_a_page_as_it_is_meant_to_is_not_raised_again() -> None:
    with not_lost():
        with answered(KeyboardInterrupt, SystemExit):
            signal.raise_signal(signal.SIGINT)
        with answered(KeyboardInterrupt, SystemExit):
            signal.raise_signal(signal.SIGTERM)


def test_an_error_is_not_hidden_by_a_signal() -> None:
    @not_lost()
    def work() -> None:
        where_everything_is_caught(signal.SIGINT)
        raise ValueError("the error")

    with pytest.raises(ValueError, match="the error"):
        work()


def test_a_signal_that_is_held_back_comes_after() -> None:
    done: list[str] = []

    @not_lost()
    def work() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            done.append("what must not be disturbed")
        done.append("what follows")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["what must not be disturbed"]


def test_the_handlers_are_as_before_and_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    with not_lost():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is before
