"""How much commands say (-q, -v), facts for programs (--json), and completion in a shell."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from heart_disease.cli import main, output
from heart_disease.cli.document import children
from heart_disease.cli.parser import Command
from heart_disease.data import sources
from heart_disease.evaluation.estimates import Estimate
from heart_disease.reporting.terminal import progress, say
from tests.harness.command import heart


@dataclass(frozen=True)
class Thing:
    """A fact with parts of every kind that facts have."""

    loss: Estimate
    seen: tuple[np.int64, ...]
    rows: np.ndarray
    flow_run: UUID
    where: Path


def test_facts_become_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    thing = Thing(Estimate(0.4, 0.3, float("nan")), (np.int64(3),), np.array([0.5, np.inf]), UUID(int=7), Path("a/b"))
    output.write_json({"thing": thing, "none": None, "yes": True})
    found = json.loads(capsys.readouterr().out)
    assert found["thing"].pop("loss") == {"value": 0.4, "low": 0.3, "high": None}
    assert found == {
        "thing": {"seen": [3], "rows": [0.5, None], "flow_run": str(UUID(int=7)), "where": "a/b"},
        "none": None,
        "yes": True,
    }


@pytest.mark.parametrize("command", [one for group in main.GROUPS.values() for one in group], ids=lambda one: one.name)
def test_a_command_prints_its_facts_with_json_or_says_why_it_has_none(command: Command) -> None:
    [parsers] = children(main.make_parser())
    has_option = "--json" in parsers[command.name].format_help()
    module = inspect.getsource(inspect.getmodule(command.run) or command.run)
    assert has_option == (not command.no_facts) == ("options.json" in module)
    assert bool(command.facts_of) == ('UsageError("--json' in module)
    assert command.facts_of in " ".join(parsers[command.name].format_help().split())


def test_progress_is_silent_with_quiet_and_back_without(capsys: pytest.CaptureFixture[str]) -> None:
    for options, expected in ((["-q"], ""), ([], "a stage\na remark\n")):
        assert heart("completion", "bash", *options) == 0
        capsys.readouterr()
        with progress():
            logging.getLogger("heart").info("a stage")
            say("a remark")
        assert capsys.readouterr().err == expected


def test_an_error_is_one_line_and_with_verbose_also_where_it_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check", "nowhere.csv") == 3
    brief = capsys.readouterr().err
    assert "Traceback" not in brief
    assert heart("check", "nowhere.csv", "--verbose") == 3
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith(brief)


def test_a_command_leaves_no_variable_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in output.TALKATIVE:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    for options in (["-v"], []):
        assert heart("completion", "bash", *options) == 0
        assert dict(os.environ) == before


def test_what_a_check_found_is_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = sources.load().frame
    for cell, code in ((63, 0), (400, 3)):
        table.loc[table.index[0], "age"] = cell
        table.to_csv(tmp_path / "patients.csv", index=False)
        assert heart("check", str(tmp_path / "patients.csv"), "--json") == code
        found = json.loads(capsys.readouterr().out)
        assert found["rows"] == 303
        assert found["passed"] == (code == 0)
        errors = [one for one in found["failures"] if one["severity"] == "critical"]
        assert [one["cells"] for one in errors] == [[{"row": 1, "column": "age", "value": "400"}]] * (code == 3)


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check", "-q", "-v") == 2
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("tra", ["train"]), ("train --preset l", ["lecture"]), ("check --pa", ["--page"]), ("serve --nonsense", [])],
)
def test_bash_completes_commands_options_and_choices(
    typed: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert heart("completion", "bash") == 0
    script = capsys.readouterr().out
    words = ["heart", *typed.split()]
    asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_heart; echo ${{COMPREPLY[@]}}"
    said = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
    assert said.stdout.split() == expected
