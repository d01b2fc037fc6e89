"""`heart learn`: the list, one lesson, the page of all lessons, and the notebook."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.figure
import mlflow
import nbformat
import pytest

from heart_disease.cli.pipeline import learn
from heart_disease.lessons.lesson import NAMES, Lesson, find, page, table
from tests.harness.command import heart


def make_lesson(text: str = "Some *text*.") -> Lesson:
    figure = matplotlib.figure.Figure()
    figure.add_subplot().plot([1, 2])
    return Lesson("A <title>", text, figure)


def test_without_a_name_it_lists_the_nine_lessons(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("learn") == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed[2:11]] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_has_help_and_checks_its_settings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("learn", name, "--help") == 0
    shown = capsys.readouterr().out
    assert "default" in shown
    fields = find(name).Settings.__pydantic_fields__
    assert all(field.description for field in fields.values())


def test_a_lesson_prints_its_text_and_is_tracked(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("learn", "descent", "--start", "2", "--steps", "12") == 0
    said = capsys.readouterr().out
    assert "Gradient descent" in said
    assert Path(said.split("The picture: ")[1].strip()).read_bytes().startswith(b"\x89PNG")
    [run] = mlflow.search_runs(
        experiment_names=["heart-disease lessons"], filter_string="params.steps = '12'", output_format="list"
    )
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "descent, start 2.0, steps 12"
    assert run.data.tags["lesson"] == "descent"
    assert float(run.data.params["start"]) == 2
    assert run.data.metrics
    files = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "lesson")}
    assert files == {"lesson/descent.md", "lesson/descent.png"}


@pytest.mark.parametrize(
    "arguments", [["dance"], ["descent", "--step", "-1"], ["descent", "--steps", "many"], ["descent", "--nonsense"]]
)
def test_nonsense_ends_in_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("learn", *arguments) == 2
    assert capsys.readouterr().err


def test_the_page_has_each_lessons_text_and_picture_and_loads_nothing() -> None:
    text = table(["w", "g(w)"], [[1, "a < b"]])
    html = page({"first": make_lesson(text), "second": make_lesson("<script>x</script>")})
    assert html.count("data:image/png;base64,") == 2
    assert "<td>a &lt; b</td>" in html
    assert "A &lt;title&gt;" in html
    assert "<script" not in html
    assert not re.search(r"(src|href)=\"?https?:", html)


def test_a_page_that_cannot_be_written_ends_in_4(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(learn, "run_one", lambda name, settings: make_lesson())
    assert heart("learn", "all", "-o", str(tmp_path / "nowhere" / "page.html")) == 4


def test_all_lessons_are_on_one_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(learn, "run_one", lambda name, settings: make_lesson(f"This is {name}."))
    assert heart("learn", "all", "-o", str(tmp_path / "page.html")) == 0
    html = (tmp_path / "page.html").read_text()
    assert [name for name in NAMES if f"This is {name}." in html] == list(NAMES)


def test_the_notebook_has_a_working_cell_for_each_lesson(tmp_path: Path) -> None:
    assert heart("learn", "--notebook", str(tmp_path / "lessons.ipynb")) == 0
    notebook = nbformat.read(tmp_path / "lessons.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert [source.split()[3] for source in code] == list(NAMES)
    scope: dict[str, object] = {}
    exec(code[0].replace("\n\n", "\n\nlesson = "), scope)  # noqa: S102
    assert isinstance(scope["lesson"], Lesson)
