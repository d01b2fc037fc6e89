"""The code shipped in a version: it loads without this project, whatever else is there, and scores plain frames."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model import patient_model, schema
from heart_disease.model.errors import UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.processes.loopback import free_port
from heart_disease.registry import ModelRef, uploads
from heart_disease.registry.access import artifacts
from tests.harness.data import patients
from tests.harness.models.stores import store_in
from tests.harness.waiting import wait_for
from tests.registry.conftest import answers
from tests.registry.test_models import EXAMPLE, a_model, files_of

TABLE = patients.make(60)
MODEL = a_model(1)
# Blocks this project, wherever it is installed; `model(n)` is version n as MLflow's users load it.
STRANGER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in BLOCKED:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
import json, mlflow, pandas
def model(version):
    return mlflow.pyfunc.load_model(f"models:/heart-disease/{version}")
"""
OURS = {"heart_disease", "flows", "tasks", "expectations"}


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store in which versions 1 and 2 are `MODEL`."""
    folder = tmp_path_factory.mktemp("store")
    with store_in(folder):
        for _ in range(2):
            with registry.open_run("a test", {}) as run:
                registry.log_model(run, MODEL, EXAMPLE)
        yield folder


def run(folder: Path, script: str, blocked: set[str] = OURS, **environment: str) -> Any:
    """Run `script` with `folder` as the working folder and on the path; return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {blocked!r}\n{STRANGER}{script}"], cwd=folder, capture_output=True,
        text=True, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def expected_of(rows: pd.DataFrame) -> list[float]:
    found: list[float] = MODEL.predict(rows)["probability"].tolist()
    return found


# Where it loads.


@pytest.mark.slow
def test_it_loads_beside_other_projects_modules_with_the_same_names(tmp_path: Path) -> None:
    for name in OURS - {"heart_disease"}:
        (tmp_path / f"{name}.py").write_text("app = 'Celery'\n")
    (tmp_path / "heart_disease").mkdir()
    (tmp_path / "heart_disease" / "__init__.py").write_text("mine = True\n")
    TABLE.to_csv(tmp_path / "patients.csv", index=False)
    script = """
import tasks, flows, expectations, heart_disease
found = model(1).predict(pandas.read_csv("patients.csv"))["probability"].tolist()
assert tasks.app == "Celery" and heart_disease.mine
print(json.dumps(found))
"""
    found = run(tmp_path, script, blocked=set())
    assert found == pytest.approx(expected_of(TABLE), abs=1e-6)


@pytest.mark.slow
def test_two_versions_in_one_process_each_answer_with_their_own_code(tmp_path: Path) -> None:
    code = files_of("2") / "artifacts" / "heart_disease_model" / "patient_model.py"
    before = code.read_text()
    TABLE.to_csv(tmp_path / "patients.csv", index=False)
    script = """
rows, models = pandas.read_csv("patients.csv"), [model(1), model(2)]
print(json.dumps([sorted(set(one.predict(rows)["disease"])) for one in (*models, model(1))]))
"""
    try:
        code.write_text(before.replace('"yes", "no")', '"ja", "nein")'))
        assert code.read_text() != before
        one, other, one_again = run(tmp_path, script)
    finally:
        code.write_text(before)
    assert set(one) <= {"yes", "no"}
    assert one_again == one
    assert set(other) <= {"ja", "nein"}


@pytest.mark.slow
def test_pythons_cache_files_do_not_spoil_a_version(tmp_path: Path) -> None:
    run(tmp_path, "model(1)\nprint(1)", PYTHONDONTWRITEBYTECODE="")
    assert list(files_of("1").rglob("*.pyc"))
    registry.load_model(registry.by_version("1"))


def test_no_module_of_the_package_imports_another_of_this_project() -> None:
    for path in Path(patient_model.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, "a relative import that leaves the package"
                names = [node.module or ""] if node.level == 0 else []
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.partition(".")[0] for name in names} & {*OURS}, path


# The test before an alias moves.


@pytest.mark.slow
def test_both_ways_of_loading_give_the_model_in_memory() -> None:
    with registry.stranger() as stranger:
        registry.check_model(registry.by_version("2"), MODEL, sources.load().frame, stranger)
    with (
        registry.stranger() as stranger,
        pytest.raises(RuntimeError, match="version 2, loaded back, differs from the model in memory"),
    ):
        registry.check_model(registry.by_version("2"), a_model(2), TABLE, stranger)


def with_other_code(monkeypatch: pytest.MonkeyPatch, module: str, more: str) -> ModelRef:
    """A version whose shipped code ends with `more`; its digest is right."""
    write = uploads.write

    def writing(model: PatientModel, folder: Path) -> None:
        write(model, folder)
        with (folder / "artifacts" / "heart_disease_model" / module).open("a") as file:
            file.write(more)

    monkeypatch.setattr(uploads, "write", writing)
    with registry.open_run("other code", {}) as run_:
        return registry.log_model(run_, MODEL, EXAMPLE)


def test_a_version_that_needs_this_project_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["heart_disease.data.sources", "tasks", "flows", "expectations"]
    code = f"""
import importlib
missing = []
for name in {names}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing.append(str(error))
raise ImportError("; ".join(missing))
"""
    ref = with_other_code(monkeypatch, "encoding.py", code)
    expected = "; ".join(f"No module named '{name.split('.')[0]}'.*" for name in names)
    with (
        registry.stranger() as stranger,
        pytest.raises(UnavailableError, match=f"does not load where only MLflow.*{expected}"),
    ):
        registry.check_model(ref, MODEL, TABLE, stranger)


def test_the_shipped_code_is_the_code_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = with_other_code(monkeypatch, "keras_file.py", "\nACTIVATIONS['sigmoid'] = lambda x: 0 * x + 0.25\n")
    assert registry.load_model(ref).predict(TABLE).equals(registry.load_model(registry.by_version("1")).predict(TABLE))
    with registry.stranger() as stranger, pytest.raises(RuntimeError, match="differs from the model in memory"):
        registry.check_model(ref, MODEL, TABLE, stranger)


def test_code_from_the_store_does_not_run_in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    more = f"\nimport os, pathlib\npathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
    ref = with_other_code(monkeypatch, "errors.py", more)
    for path in tmp_path.iterdir():  # MLflow executes the files before it uploads them
        path.unlink()
    with registry.stranger() as stranger:
        registry.check_model(ref, MODEL, TABLE, stranger)
        registry.check_loads(ref, TABLE)
        assert [path.name for path in tmp_path.iterdir()] == [str(stranger.process.pid)]


def test_a_test_process_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with registry.stranger() as stranger:
        stranger.process.kill()
        with pytest.raises(UnavailableError, match="it ended with code -9"):
            registry.check_model(registry.by_version("1"), MODEL, TABLE, stranger)


# What it scores.


def plain() -> pd.DataFrame:
    """Patients as pandas reads them: whole numbers as int64, beside floats and blanks."""
    rows = pd.read_csv(sources.BUNDLED)
    assert {str(dtype) for dtype in rows.dtypes} == {"int64", "float64"}
    assert rows[["ca", "thal"]].isna().any().all()
    return rows


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(plain(), id="as read"),
        pytest.param(plain().iloc[:, ::-1], id="in another order"),
        pytest.param(plain().drop(columns="num").assign(hospital="Cleveland", visit=2), id="with other columns"),
        pytest.param(plain().convert_dtypes(), id="with nullable types"),
        pytest.param(plain().astype("float64"), id="as floats"),
        pytest.param(plain().assign(ca=None), id="with an empty column"),
        pytest.param(plain().set_index(pd.Index([f"P{k}" for k in range(303)])), id="with names of rows"),
    ],
)
def test_a_plain_frame_is_scored(rows: pd.DataFrame) -> None:
    answers = mlflow.pyfunc.load_model("models:/heart-disease/1").predict(rows)
    pd.testing.assert_frame_equal(answers, MODEL.predict(rows), rtol=0, atol=1e-6)


def test_a_forbidden_cell_gets_the_models_reason() -> None:
    rows = plain().head(2).astype({"chol": "object"})
    rows.loc[0, "chol"] = "high"
    problems = mlflow.pyfunc.load_model("models:/heart-disease/1").predict(rows)["problem"].tolist()
    assert problems == ["column 'chol' has 'high'; expected 70 to 700 mg/dl", ""]


def test_a_version_describes_its_columns() -> None:
    info = mlflow.models.get_model_info("models:/heart-disease/1")
    assert info.signature
    assert info.signature.inputs.input_names() == list(schema.INPUT_NAMES)
    columns = (info.metadata or {})["columns"]
    assert set(columns) == set(schema.INPUT_NAMES)
    assert columns["trestbps"] == {
        "meaning": "resting blood pressure on admission", "unit": "mm Hg", "allowed": "60 to 260 mm Hg",
    }  # fmt: skip
    assert columns["thal"]["allowed"] == "3 normal, 6 fixed defect, 7 reversible defect or blank"


def test_threshold_and_explanation_are_parameters_of_a_version() -> None:
    info = mlflow.models.get_model_info("models:/heart-disease/1")
    assert info.signature
    assert {one.name: one.default for one in info.signature.params} == {"threshold": MODEL.threshold, "explain": False}
    loaded = mlflow.pyfunc.load_model("models:/heart-disease/1")
    rows = plain().head(3)
    for params in ({}, {"threshold": 0.2}, {"threshold": 0.8, "explain": True}):
        expected = MODEL.predict(rows, **params)
        pd.testing.assert_frame_equal(loaded.predict(rows, params=params), expected, rtol=0, atol=1e-6)


def test_a_version_from_before_this_package_still_loads(store: Path) -> None:
    """Such a version has a script served_model.py, a package `tasks` in the folder code, and only doubles."""
    with registry.open_run("old", {}) as run_:
        ref = registry.log_model(run_, MODEL, EXAMPLE)
    folder = files_of(ref.version)
    tasks = folder / "code" / "tasks"
    tasks.mkdir(parents=True)
    for path in (folder / "artifacts" / "heart_disease_model").iterdir():
        (tasks / path.name).write_text(path.read_text().replace("from . import", "from tasks import"))
    shutil.rmtree(folder / "artifacts" / "heart_disease_model")
    (folder / "mlflow_script.py").rename(folder / "served_model.py")
    meta = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = meta["flavors"]["python_function"]
    flavor["artifacts"].pop("heart_disease_model")
    flavor |= {"code": "code", "model_code_path": "served_model.py"}
    del meta["metadata"]
    meta["signature"]["inputs"] = meta["signature"]["inputs"].replace('"any"', '"double"')
    (folder / "MLmodel").write_text(yaml.safe_dump(meta))
    mlflow.MlflowClient().set_model_version_tag(ref.name, ref.version, artifacts.DIGEST, artifacts.digest_of(folder))
    assert isinstance(registry.load_model(ref), PatientModel)
    assert registry.load_model(ref).predict(TABLE)["probability"].tolist() == pytest.approx(expected_of(TABLE))


# MLflow's own programs.


def mlflow_command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "mlflow", "models", *arguments, "-m", "models:/heart-disease/1",
            "--env-manager", "local"]  # fmt: skip


def with_our_python() -> dict[str, str]:
    """The environment with a PATH on which MLflow finds our `python` and `uvicorn`, which it starts."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_mlflow_models_predict_scores_a_file(kind: str, tmp_path: Path) -> None:
    rows, path = plain(), tmp_path / f"patients.{kind}"
    if kind == "csv":
        rows.to_csv(path, index=False)
    else:
        path.write_text(json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split"))}))
    command = mlflow_command("predict", "-t", kind, "-i", str(path), "-o", str(tmp_path / "answers.json"))
    subprocess.run(command, env=with_our_python(), cwd=tmp_path, check=True)
    answers = json.loads((tmp_path / "answers.json").read_text())["predictions"]
    assert [row["probability"] for row in answers] == pytest.approx(expected_of(rows), abs=1e-6)


@pytest.mark.slow
def test_mlflow_models_serve_scores_each_form_of_json(tmp_path: Path) -> None:
    rows = plain().iloc[:, ::-1]
    records = json.loads(rows.to_json(orient="records"))
    forms = [
        {"dataframe_split": json.loads(rows.to_json(orient="split"))},
        {"dataframe_records": records},
        {"inputs": records},
        {"inputs": {name: [row[name] for row in records] for name in rows}},
    ]
    port = free_port()
    command = mlflow_command("serve", "--host", "127.0.0.1", "--port", str(port))
    server = subprocess.Popen(command, env=with_our_python(), cwd=tmp_path, start_new_session=True)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ping") or server.poll() is not None)
        assert server.poll() is None
        for form in forms:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations", json.dumps(form).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request) as response:
                scored = json.load(io.BytesIO(response.read()))["predictions"]
            assert [row["probability"] for row in scored] == pytest.approx(expected_of(rows), abs=1e-6)
    finally:
        os.killpg(server.pid, 15)
        server.wait()
