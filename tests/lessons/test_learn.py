"""`heart learn`: the list, one lesson, the page of all lessons, and the notebook."""

from __future__ import annotations

import errno
import html
import re
from pathlib import Path

import matplotlib.figure
import mlflow
import nbformat
import pytest

from heart_disease.cli.pipeline import learn
from heart_disease.lessons import formulas
from heart_disease.lessons.lesson import NAMES, Lesson, find, page, table
from tests.harness.command import heart


def make_lesson(text: str = "Some *text*.") -> Lesson:
    figure = matplotlib.figure.Figure()
    figure.add_subplot().plot([1, 2])
    return Lesson("A <title>", text, figure)


def letters(formula: str) -> set[str]:
    """The names in a formula: of variables, and of functions such as log."""
    return set(re.findall("[A-Za-z]+?(?=[0-9]|\\b)", formula))


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
    shown = page({"first": make_lesson(text), "second": make_lesson("<script>x</script>")})
    assert shown.count("data:image/png;base64,") == 2
    assert "<td>a &lt; b</td>" in shown
    assert "A &lt;title&gt;" in shown
    assert "<script" not in shown
    assert not re.search(r"src=\"?https?:|<link", shown)  # the course is only linked


def test_a_page_that_cannot_be_written_ends_in_4(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(learn, "run_one", lambda name, settings: make_lesson())
    assert heart("learn", "all", "-o", str(tmp_path / "nowhere" / "page.html")) == 4


@pytest.mark.parametrize("arguments", [["all", "-o"], ["--notebook"]])
def test_what_cannot_be_written_to_its_end_is_as_it_was(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(learn, "run_one", lambda name, settings: make_lesson())
    for name in NAMES:
        monkeypatch.setattr(find(name), "run", lambda _: make_lesson())
    output = tmp_path / "lessons"
    output.write_text("before")
    monkeypatch.setattr(Path, "replace", full)
    assert heart("learn", *arguments, str(output)) == 4
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_all_lessons_are_on_one_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(learn, "run_one", lambda name, settings: make_lesson(f"This is {name}."))
    assert heart("learn", "all", "-o", str(tmp_path / "page.html")) == 0
    shown = (tmp_path / "page.html").read_text()
    assert [name for name in NAMES if f"This is {name}." in shown] == list(NAMES)


@pytest.mark.parametrize("formula", formulas.FORMULAS)
def test_a_page_typesets_every_formula_of_a_lesson(formula: str) -> None:
    sources = "".join(Path(find(name).__file__ or "").read_text() for name in NAMES)
    assert f"`{formula}`" in sources or f'"{formula}"' in sources  # no lesson lost it
    shown = page({"one": make_lesson(f"It is `{formula}`.")})
    [math] = re.findall("<math.*</math>", shown)
    typeset = html.unescape(re.sub("<[^>]*>", " ", math))
    wanted = formula.replace("derivative", "g").replace("gradient", "g").replace("sigmoid(z)", "1 / (1 + e^-z)")
    assert letters(typeset) == letters(wanted.replace("sqrt", "").replace("step x", "step").replace("rate x", "rate"))
    assert set(re.findall("[0-9]", typeset)) == set(re.findall("[0-9]", wanted))


def test_other_code_stays_code_on_the_page() -> None:
    assert "<code>heart train</code>" in page({"one": make_lesson("It is `heart train`.")})


def test_a_table_of_a_lesson_scrolls_by_itself_under_a_name_of_its_own() -> None:
    two = "\n\n".join([table(["p"], [[1]]), "Between.", table(["p"], [[2]])])
    shown = page({"one": make_lesson(two)})
    for number in (1, 2):
        named = f'tabindex="0" role="region" aria-label="A &lt;title&gt;: table {number}"><table>'
        assert shown.count(named) == 1


def test_a_notebook_gets_latex() -> None:
    assert formulas.as_latex("`(p - y)^2` by `heart`: `D2`") == "$(p - y)^2$ by `heart`: $D_2$"


def test_the_notebook_has_a_working_cell_for_each_lesson_and_what_it_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in NAMES:
        monkeypatch.setattr(find(name), "run", lambda _, name=name: make_lesson(f"This is {name}: `p - y`."))
    assert heart("learn", "--notebook", str(tmp_path / "lessons.ipynb")) == 0
    notebook = nbformat.read(tmp_path / "lessons.ipynb", as_version=4)
    nbformat.validate(notebook)
    _, *cells = [cell for cell in notebook.cells if cell.cell_type == "code"]  # the first makes TensorFlow quiet
    for name, cell in zip(NAMES, cells, strict=True):
        assert cell.outputs[0].data["text/markdown"].startswith(f"This is {name}: $p - y$.")
        scope: dict[str, object] = {}
        exec(cell.source.replace("\n\n", "\n\nlesson = "), scope)  # noqa: S102
        assert isinstance(scope["lesson"], Lesson)
