"""The bar of a long training, on a terminal and elsewhere."""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys

import pytest

from heart_disease.reporting import terminal
from tests.harness.command import ROOT


@pytest.mark.filterwarnings("ignore:Logger 'heart' attempted to send logs")
def test_without_a_terminal_a_bar_is_silent_until_it_takes_long(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(terminal, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO, logger="heart"), terminal.Bar("train", 400) as bar:
        tell = bar.part(100)
        now += 5
        tell(1, 2)
        assert caplog.messages == []
        now += 5
        tell(2, 2)
        bar.add(100)
        assert caplog.messages == ["train      25 % of 400 networks, 10 per second, 30 s left"]
        now += 20
        bar.part(300)(1, 3)
        assert caplog.messages[1:] == ["train      50 % of 400 networks, 7 per second, 30 s left"]
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_is_drawn_keeps_lines_whole_and_disappears() -> None:
    script = """
import logging
from heart_disease.reporting import terminal
with terminal.progress(), terminal.Bar("train", 400) as bar:
    bar.part(100)(1, 2)
    logging.getLogger("heart").info("a line while it is drawn")
    bar.add(400)
print("the end")
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux reports that the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    assert "400 of 400 networks" in text
    assert "━" in text
    lines = screen(text)
    assert lines == ["a line while it is drawn", "the end"]


def test_progress_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress():
        logging.getLogger("heart").info("load      from %s", "https://me:s3cr3t@example.org/a.csv?token=s3cr3t")
    assert capsys.readouterr().err == "load      from https://me:***@example.org/a.csv?token=***\n"


def screen(text: str) -> list[str]:
    """What a terminal shows in the end; handles carriage returns, line feeds, cursor up and erasing."""
    lines, row, column = [""], 0, 0
    for code in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if code == "\r":
            column = 0
        elif code == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif code.endswith("A") and code.startswith("\x1b"):
            row -= int(code[2:-1] or 1)
        elif code in ("\x1b[2K", "\x1b[K"):
            lines[row] = "" if code == "\x1b[2K" else lines[row][:column]
        elif not code.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + code + lines[row][column + len(code) :]
            column += len(code)
    return [line.rstrip() for line in lines if line.strip()]
