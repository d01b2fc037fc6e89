"""The README and docs/ are right about links, commands, columns, lessons and folders."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

import pytest

from heart_disease.cli.main import GROUPS, make_parser
from heart_disease.lessons.lesson import NAMES, find
from heart_disease.reporting import columns_page
from tests.harness.command import ROOT

COMMANDS = [command.name for group in GROUPS.values() for command in group]
README = (ROOT / "README.md").read_text()
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "benchmarks/README.md")),
    ROOT / "heart_disease/data/patients/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
LONGEST_README = 150  # lines
LARGEST_PICTURE = 150_000  # bytes


@cache
def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """The contents of a page's fenced blocks."""
    return re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links() -> list[tuple[Path, str]]:
    """Each page with each of its links into the project."""
    found = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))]
    return sorted({(page, link) for page, link in found if "://" not in link})


def commands() -> list[tuple[str, str]]:
    """Each line of a fenced block and each piece of inline code, with the name of its page.

    The changelog is left out, because it names things that no longer exist.
    """
    found = []
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            lines = [line.strip().removeprefix("$ ") for block in blocks(page) for line in block.splitlines()]
            lines += re.findall(r"`([^`]+)`", prose(page))
            found += [(page.name, " ".join(line.split())) for line in lines]
    return found


def heart_lines() -> list[tuple[str, str]]:
    """The lines of fenced blocks that start with `heart`.

    commands.md is left out, because its lines come from the parser.
    """
    found = [
        (page.name, line.strip().removeprefix("$ "))
        for page in PAGES
        if page.name != "commands.md"
        for block in blocks(page)
        for line in block.splitlines()
    ]
    return [(page, line) for page, line in found if re.match(r"heart [a-z]", line)]


def label(case: tuple[object, str]) -> str:
    """A test's ID: the page, and the text that is checked."""
    page, what = case
    return f"{page.name if isinstance(page, Path) else page} {what}"


def test_the_readme_can_be_read_in_two_minutes() -> None:
    assert len(README.splitlines()) <= LONGEST_README


def test_the_readme_opens_with_the_two_commands() -> None:
    block = README.split("```")[1].split("\n")
    assert [line.split()[:2] for line in block if line.strip()] == [["make", "train"], ["make", "test"]]


@pytest.mark.parametrize("page", ["sources.md", "unattended.md", "servers.md"])
def test_the_readme_leads_from_a_database_to_a_schedule(page: str) -> None:
    assert f"(docs/{page})" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_begins_with_of(page: Path) -> None:
    assert re.findall(r"(?:^|\n\n|[.:*|] +|[.]\n *)Of [^\n]*", prose(page)) == []


@pytest.mark.parametrize("case", links(), ids=label)
def test_a_link_leads_somewhere(case: tuple[Path, str]) -> None:
    page, link = case
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


def test_the_index_has_a_line_for_each_page_of_docs() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"| [{page.name}]({page.name}) |" in index


@pytest.mark.parametrize("case", heart_lines(), ids=label)
def test_a_command_line_is_valid(case: tuple[str, str]) -> None:
    words = shlex.split(case[1], comments=True)
    make_parser().parse_args(words[1:])  # exits if the words are wrong


def test_command_lines_are_found() -> None:
    assert len(heart_lines()) >= 10


def test_the_readme_has_one_line_for_each_command() -> None:
    listed = re.findall(r"^\| `heart ([a-z]+)` \|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_a_sentence_names_only_commands_that_exist() -> None:
    named = {match[1] for _, line in commands() if (match := re.match(r"heart ([a-z]+)\b", line))}
    assert named <= {*COMMANDS, "retrain"}


@pytest.mark.parametrize(
    "module", sorted({m for _, line in commands() for m in re.findall(r"python -m ([a-z_.]+\w)", line)})
)
def test_a_module_that_is_run_exists(module: str) -> None:
    assert importlib.util.find_spec(module)


@pytest.mark.parametrize("target", sorted({t for _, line in commands() for t in re.findall(r"^make ([a-z.-]+)", line)}))
def test_a_target_of_make_exists(target: str) -> None:
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_the_layout_names_every_folder_and_no_other() -> None:
    lines = README.split("## Layout")[1].split("```")[1].splitlines()
    named = {line.split()[0] for line in lines if line}
    rooms = {f"{path.parent.name}/" for path in (ROOT / "heart_disease").glob("*/__init__.py")}
    top = {f"{name}/" for name in ("flows", "tasks", "expectations", "heart_disease", "docs", "benchmarks", "tests")}
    assert named == rooms | top
    assert all((ROOT / name).is_dir() for name in top)


def test_the_drawing_of_the_rooms_shows_the_layers_of_import_linter() -> None:
    [drawing] = [block for block in blocks(ROOT / "docs" / "index.md") if block.startswith("flowchart")]
    contract, _ = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("heart_disease.", "").split(" | ") for layer in contract["layers"]]
    assert [box.split(" · ") for box in re.findall(r'\["(.+?)"\]', drawing)] == layers
    names = re.findall(r"\b([a-z])(?=\[| -->)", drawing)
    assert names == sorted(names)  # each arrow leads from a box to the next
    assert drawing.count("-->") == len(layers) - 1


def test_the_column_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "columns.md").read_text() == columns_page.text()


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_is_listed_with_its_title(name: str) -> None:
    assert f"| `{name}` | {find(name).TITLE} |" in (ROOT / "docs" / "course.md").read_text().splitlines()


def test_every_picture_is_small_and_shown() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert pictures
    texts = [page.read_text() for page in PAGES]
    for picture in pictures:
        assert picture.stat().st_size < LARGEST_PICTURE
        assert any(f"](images/{picture.name})" in text or f"docs/images/{picture.name}" in text for text in texts)


@pytest.mark.parametrize("name", ["requirements.lock", "server.lock", "gpu.lock"])
def test_a_lock_names_no_index(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    assert "--index" not in lock
    assert all("==" in line for line in lock.splitlines() if line and not line.startswith((" ", "#")))
