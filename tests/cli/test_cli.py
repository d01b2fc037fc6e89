"""The `heart` command: help, exit codes, and one clear message for everything that goes wrong."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.cli import main
from heart_disease.data import sources
from heart_disease.model.errors import ExitCode
from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT, heart, one_line
from tests.harness.data import patients

COMMANDS = [command.name for commands in main.GROUPS.values() for command in commands]
Change = Callable[[pd.DataFrame], pd.DataFrame]


def test_help_lists_the_commands_and_the_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert heart("--help") == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    for word in (*COMMANDS, "exit codes", *(code.meaning for code in ExitCode)):
        assert word in one_line(shown)


def test_without_a_command_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart() == 0
    alone = capsys.readouterr().out
    assert heart("--help") == 0
    assert capsys.readouterr().out == alone != ""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_sign_that_the_terminals_encoding_lacks_is_replaced(encoding: str, tmp_path: Path) -> None:
    shutil.copy(sources.BUNDLED, tmp_path / "Müller €.csv")
    done = subprocess.run(
        [sys.executable, "-m", "heart_disease", "check", "Müller €.csv"],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Müller €.csv".encode(encoding, "replace") in done.stdout


def test_help_imports_none_of_the_heavy_libraries() -> None:
    script = (
        "import sys, heart_disease.cli.main\n"
        f"for command in {COMMANDS}:\n"
        "    try: heart_disease.cli.main.main([command, '--help'])\n"
        "    except SystemExit: pass\n"
        "heavy = {'prefect', 'mlflow', 'tensorflow', 'keras', 'pandas', 'sklearn', 'great_expectations', "
        "'numpy', 'rich'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_commands_help_fits_into_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in COMMANDS:
        assert heart(command, "--help") == 0
        shown = capsys.readouterr().out
        assert "usage: heart" in shown
        assert [line for line in shown.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "0"], "--epochs 0: input should be greater than or equal to 1"),
        (["train", "--hidden", "16,x"], "--hidden x: input should be a valid integer"),
        (["train", "--momentum", "0.9"], "momentum (=0.9) belongs to sgd and gd"),
        (["train", "--learning-rate", "fast"], "--learning-rate fast: input should be a valid number"),
        (["train", "--optimizer", "magic"], "invalid choice: 'magic'"),
        (["train", "--folds", "1"], "--folds 1"),
        (["train", "--repeats", "0"], "--repeats 0"),
        (["train", "--holdout", "1.5"], "--holdout 1.5: input should be less than 1"),
        (["train", "--nonsense"], "unrecognized arguments"),
        (["dance"], "invalid choice"),
        (["trian"], "did you mean train?"),
        (["train", "--epocs", "3"], "unrecognized arguments: --epocs 3; did you mean --epochs?"),
        (["learn", "gradeint"], "did you mean gradient?"),
        (["compare", "1"], "expected two or more runs, or none for champion and challenger; got one, '1'"),
        (["compare", "1", "2", "--margin", "-1"], "--margin -1: input should be greater than or equal to 0"),
        (["predict", "x.csv", "-o", "out.docx"], "expected a name that ends in .csv or .parquet"),
    ],
)
def test_wrong_usage_ends_in_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart(*arguments) == 2
    assert message in one_line(capsys.readouterr().err)


def test_check_of_the_bundled_patients_passes_with_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check") == 0
    shown = capsys.readouterr().out
    assert "303 rows" in shown
    assert "passed" in shown
    assert "0 errors" in shown


def test_a_page_that_cannot_be_written_ends_in_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check", "--page", str(tmp_path / "nowhere" / "page.html")) == 4
    assert "nowhere/page.html' cannot be written: No such file or directory" in one_line(capsys.readouterr().err)


def test_a_pipe_does_not_count_as_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert heart("check", str(tmp_path / "pipe.csv")) == 3
    assert "is a pipe" in one_line(capsys.readouterr().err)


def test_check_writes_the_page(tmp_path: Path) -> None:
    assert heart("check", "--page", str(tmp_path / "page.html")) == 0
    assert "<html" in (tmp_path / "page.html").read_text()


def drop(name: str) -> Change:
    return lambda frame: frame.drop(columns=name)


def put(name: str, value: object, row: int = 7) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[name] = frame[name].astype("object")
        frame.loc[frame.index[row - 1], name] = value
        return frame

    return change


def every(name: str, value: object) -> Change:
    return lambda frame: frame.assign(**{name: value})


def invert(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(num=(frame["num"] == 0).astype(int))


def repeat(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[[2, 4]]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(drop("thal"), "'thal' is missing", id="missing column"),
        pytest.param(lambda frame: frame.assign(note=1), "'note' is unknown", id="extra column"),
        pytest.param(lambda f: f.rename(columns={"thalach": "thalac"}), "did you mean 'thalach'", id="misspelt column"),
        pytest.param(put("chol", "high"), "column 'chol' has 'high' in row 7", id="text in a number"),
        pytest.param(put("chol", 9999), "column 'chol' has 9999 in row 7; expected 70 to 700 mg/dl", id="limit"),
        pytest.param(put("thal", 2), "column 'thal' has 2 in row 7; expected 3, 6, 7 or blank", id="code"),
        pytest.param(put("age", np.inf), "column 'age' has inf in row 7", id="infinity"),
        pytest.param(put("age", ""), "column 'age' is blank in row 7", id="blank"),
        pytest.param(every("num", 0), "0 % of the", id="all one class"),
        pytest.param(lambda frame: frame.head(49), "49 rows; expected at least 50", id="too few rows"),
        pytest.param(repeat, "2 of", id="duplicated patients"),
        pytest.param(invert, "the label looks inverted", id="inverted label"),
    ],
)
def test_data_that_validation_refuses_ends_in_3(
    change: Change, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(patients.make(120)).to_csv(tmp_path / "bad.csv", index=False)
    assert heart("check", str(tmp_path / "bad.csv")) == 3
    assert message in one_line(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no file", id="missing"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"age,sex,cp\n", "no rows", id="header only"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "not UTF-8", id="binary"),
        pytest.param(b"age,sex\n63,m\xc3\xa4nnlich\xe4\n", "not UTF-8 text", id="wrong encoding"),
        pytest.param(b"age,sex,age\n63,1,63\n", "column 'age' 2 times", id="duplicated column"),
    ],
)
def test_a_file_that_cannot_be_read_ends_in_3(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.csv"
    if content is not None:
        path.write_bytes(content)
    assert heart("check", str(path)) == 3
    error = capsys.readouterr().err
    assert message in one_line(error)
    assert "Traceback" not in error


def test_predict_without_a_champion_ends_in_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'empty.db'}")
    assert heart("predict", str(sources.BUNDLED)) == 4
    assert "Run `heart train` first" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/d/x"),
         "'/d/x' cannot be used: No space left on device. Make room on that disk, then run the command again."),
        (OSError(errno.EIO, "Input/output error"),
         "heart: Input/output error. With -v the command says which part of the program asked for it."),
    ],
)  # fmt: skip
def test_an_error_of_the_system_says_what_to_do(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr(main, "select", fail)
    assert heart("snapshots") == 4
    err = capsys.readouterr().err
    assert said in one_line(err)
    assert "Traceback" not in err
    assert heart("snapshots", "-v") == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("store", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db"])
def test_training_without_an_mlflow_store_ends_in_4(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert heart("train") == 4
    said = one_line(capsys.readouterr().err)
    assert f"the MLflow store {store} cannot be used" in said
    assert "Traceback" not in said


def test_training_without_the_configured_prefect_server_ends_in_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect.context import use_profile
    from prefect.settings import Profile

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with use_profile(Profile(name="p", settings={}), include_current_context=False):
        assert heart("train") == 4
    assert "the Prefect server at http://127.0.0.1:9/api, the address in" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("home", "message"),
    [("/proc/nowhere", "Prefect cannot write its folder '/proc/nowhere'"), ("a?b", "the name has a question mark")],
)
def test_training_without_a_home_for_prefects_own_server_ends_in_4(home: str, message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heart_disease", "train"],
        env={**os.environ, "PREFECT_HOME": str(tmp_path / home), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert message in one_line(done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ui_shows_both_pages_until_it_is_ended(stores: Path) -> None:
    mlflow_port, prefect_port = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "heart_disease", "ui", f"--mlflow-port={mlflow_port}", f"--prefect-port={prefect_port}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=stores, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        said = [process.stdout.readline() for _ in range(2)]
        assert re.search(rf"http://127.0.0.1:{mlflow_port}/#/experiments.*workflowType=machine_learning", said[0])
        assert f"http://127.0.0.1:{prefect_port}" in said[1]
        for port in (mlflow_port, prefect_port):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                assert b"<html" in page.read()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    for port in (mlflow_port, prefect_port):
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0
