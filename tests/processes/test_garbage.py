"""Python looks for garbage seldom while libraries are imported, and as before after that."""

from __future__ import annotations

import gc

import pytest

from heart_disease.cli import main
from heart_disease.processes.garbage import OBJECTS, uncollected


def fail() -> None:
    assert not gc.isenabled()
    raise ImportError


@pytest.mark.parametrize("before", [True, False])
def test_it_does_not_look_in_the_block_and_then_as_before(before: bool) -> None:
    try:
        gc.enable() if before else gc.disable()
        with pytest.raises(ImportError), uncollected():
            fail()
        assert gc.isenabled() is before
    finally:
        gc.enable()


def test_the_command_lets_python_look_seldom_but_still_look() -> None:
    threshold = gc.get_threshold()
    try:
        gc.set_threshold(700)
        assert main.main(["completion", "bash"]) == 0
        assert gc.isenabled()
        assert gc.get_threshold()[0] == OBJECTS
    finally:
        gc.set_threshold(*threshold)
