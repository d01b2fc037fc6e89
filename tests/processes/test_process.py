"""A process is recognised again, and no other process is mistaken for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from heart_disease.processes import process


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def test_a_running_process_is_alive_and_has_the_same_identity_each_time(other: subprocess.Popen[bytes]) -> None:
    for pid in (os.getpid(), other.pid):
        assert process.identity(pid) == process.identity(pid)
        assert process.alive(process.identity(pid)) is True
    assert process.identity() == process.identity(os.getpid()) != process.identity(other.pid)


def test_a_killed_process_is_dead_even_before_its_parent_notices(other: subprocess.Popen[bytes]) -> None:
    who = process.identity(other.pid)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
    assert process.alive(who) is False
    other.wait()
    assert process.alive(who) is False
    with pytest.raises(ProcessLookupError, match=f"no process {other.pid}"):
        process.identity(other.pid)


def test_a_process_that_reuses_a_dead_ones_number_is_another() -> None:
    *rest, start = process.identity().split("/")
    assert process.alive("/".join([*rest, str(int(float(start)) - 1)])) is False


def test_after_a_reboot_a_machine_has_none_of_its_old_processes() -> None:
    machine, _, *rest = process.identity().split("/")
    assert process.alive("/".join([machine, "an-earlier-boot", *rest])) is False


@pytest.mark.parametrize("part", [0, 2])
def test_nothing_is_claimed_about_another_machine_or_container(part: int) -> None:
    parts = process.identity().split("/")
    parts[part] += "9"
    assert process.alive("/".join(parts)) is None


@pytest.mark.parametrize("who", ["", "12", "a/b/c/d/e", "a/b/1"])
def test_nothing_is_claimed_about_text_that_is_no_identity(who: str) -> None:
    assert process.alive(who) is None


@pytest.mark.skipif(not process.PROC.exists(), reason="there is no /proc here")
@pytest.mark.parametrize("name", ["a b", "a) R (", ")))"])
def test_a_name_with_blanks_and_brackets_is_no_problem(name: str) -> None:
    rename = f"open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as renamed:
        assert renamed.stdout
        renamed.stdout.readline()
        assert process.alive(process.identity(renamed.pid)) is True
        renamed.kill()
