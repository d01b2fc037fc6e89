"""The page of `heart serve` in a real browser: a patient, a what-if, a file, a token; by keyboard, on a phone, by axe.

Every test leaves screenshots, in the folder HEART_SCREENSHOTS if that is set; look at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving.follower import Follower, Loaded
from tests.harness.data.patients import FIRST
from tests.harness.models import models
from tests.harness.pages.browser import PATIENCE, chromium, expect, needs_browser, screenshots, violations
from tests.harness.servers.running import running

pytestmark = [pytest.mark.slow, needs_browser]

PHONE = {"viewport": {"width": 375, "height": 812}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
FRAME = sources.load().frame[list(schema.INPUT_NAMES)].sort_index()
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def model() -> PatientModel:
    return models.make(FRAME, seed=3)


def loaded(model: PatientModel, version: str = "7") -> Loaded:
    return Loaded(ModelRef("heart-disease", version, "a run"), model, "2026-01-01T00:00:00+00:00")


@contextmanager
def served(model: PatientModel, token: str = "", follower: Follower | None = None) -> Iterator[str]:
    """The address of a server in this process."""
    follower = follower or Follower("champion")
    follower.now = loaded(model)
    with running(follower, token) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def address(model: PatientModel) -> Iterator[str]:
    with served(model) as at:
        yield at


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """A function that opens the page as a new visitor; it fails if the page or the browser complained."""
    contexts, complaints = [], list[str]()

    def open_page(at: str = address, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Security Policy" in said.text else None)
        page.goto(at)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[[Any, str], None]:
    """A function that saves a screenshot of a whole page under a name."""
    folder = screenshots(tmp_path)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", full_page=True)


def fill(page: Any, **changes: Any) -> None:
    """Enter the first patient of the bundled file, with some values changed."""
    for column in schema.COLUMNS:
        value = {**FIRST, **changes}[column.name]
        if column.codes:
            page.locator(f"input[name={column.name}][value='{value}']").check()
        else:
            page.locator(f"#{column.name}").fill(str(value))


def estimate(page: Any, **changes: Any) -> None:
    fill(page, **changes)
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#answer")).to_be_visible()


def probability(model: PatientModel, **changes: Any) -> float:
    row = pd.DataFrame([{**FIRST, **changes}]).astype("float64")
    return float(model.predict(row)["probability"].iloc[0])


def of100(value: float) -> str:
    return f"{round(100 * value)} of 100"


def test_a_patient_gets_the_models_answer_in_figures_and_words(
    visit: Visit, shoot: Callable[[Any, str], None], model: PatientModel
) -> None:
    page = visit()
    estimate(page)
    found = probability(model)
    expect(page.locator("#status")).to_have_text(f"{round(100 * found)} of 100 such patients have heart disease.")
    assert page.locator("#people path").count() == 100
    assert page.locator("#people path.sick").count() == round(100 * found)
    frame = pd.DataFrame([FIRST]).astype("float64")
    [row] = model.predict(frame, explain=True).to_dict("records")
    expect(page.locator("#range")).to_contain_text(f"the lowest says {of100(row['lowest'])}")
    expect(page.locator("#range")).to_contain_text(f"the highest {of100(row['highest'])}")
    expect(page.locator("#decision")).to_contain_text(f"Its answer is {row['disease']}.")
    strongest = max(schema.COLUMNS, key=lambda column: abs(row[f"adds_{column.name}"]))
    first = page.locator("#drivers tr").first
    expect(first).to_contain_text(strongest.in_words(float(FIRST[strongest.name])))
    expect(first).to_contain_text(f"by {abs(100 * row[f'adds_{strongest.name}']):.1f}")
    expect(page.locator("#version")).to_contain_text("heart-disease version 7, the champion")
    shoot(page, "page 1 answer")


def test_a_changed_value_moves_the_answer_at_once_and_back(
    visit: Visit, shoot: Callable[[Any, str], None], model: PatientModel
) -> None:
    page = visit()
    estimate(page)
    page.locator("#thalach").fill("95")
    page.get_by_label("reversible defect").check()
    before, now = probability(model), probability(model, thalach=95, thal=7)
    expect(page.locator("#moved")).to_contain_text(f"Before: {of100(before)}. Now: {of100(now)}")
    expect(page.locator("#changes li")).to_have_text(
        [
            "Maximum heart rate achieved: 95 beats/min (before: 150 beats/min)",
            "Thallium scan: reversible defect (before: fixed defect)",
        ]
    )
    shoot(page, "page 2 what if")
    page.get_by_role("button", name="Back to the first values").click()
    expect(page.locator("#what-if")).to_be_hidden()
    expect(page.locator("#status")).to_contain_text(f"{round(100 * before)} of 100 such patients have heart disease")


def test_limits_are_checked_while_typing_and_what_is_missing_is_named(
    visit: Visit, shoot: Callable[[Any, str], None]
) -> None:
    page = visit()
    page.locator("#age").fill("150")
    expect(page.locator("#age-problem")).to_have_text("150 is impossible; expected 18 to 100 years.")
    page.locator("#age").fill("9o")
    expect(page.locator("#age-problem")).to_contain_text("“9o” is not a number")
    page.locator("#age").fill("95")
    expect(page.locator("#age-problem")).to_be_empty()
    expect(page.locator("#age-hint")).to_contain_text("unusual, as nearly all have 28 to 80")
    page.locator("#chol").fill("9999")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#status")).to_have_text("12 of the findings are missing or impossible.")
    expect(page.locator("#sex-problem")).to_have_text("Missing; expected a choice.")
    expect(page.locator("#answer")).to_be_hidden()
    assert violations(page) == []
    shoot(page, "page 3 problems")
    estimate(page, age=95)
    expect(page.locator("#unusual li")).to_have_text(["Age: 95 years; usual are 28 to 80"])


def test_a_decimal_comma_and_a_blank_are_understood(visit: Visit, model: PatientModel) -> None:
    page = visit()
    estimate(page)
    page.locator("#oldpeak").fill("0,5")
    page.locator("input[name=thal][value='']").check()
    now = probability(model, oldpeak=0.5, thal=None)
    expect(page.locator("#moved")).to_contain_text(f"Now: {of100(now)}")


def test_an_estimate_is_not_shown_beside_other_values(visit: Visit, model: PatientModel) -> None:
    page = visit()
    estimate(page)
    for impossible in ("", "999"):
        page.locator("#chol").fill(impossible)
        expect(page.locator("#answer")).to_be_hidden()
        expect(page.locator("#status")).to_contain_text("missing or impossible")
        page.locator("#chol").fill("250")
        expect(page.locator("#moved")).to_contain_text(f"Now: {of100(probability(model, chol=250))}")


def test_it_is_used_by_keyboard_alone(visit: Visit) -> None:
    page = visit()
    page.locator("h1").click()
    page.keyboard.press("Tab")
    for column in schema.COLUMNS:
        if column.codes:
            page.keyboard.press("Space")
            assert page.evaluate("document.activeElement.name") == column.name
        else:
            assert page.evaluate("document.activeElement.id") == column.name
            page.keyboard.type(str(FIRST[column.name]))
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_be_focused()


def test_a_version_that_takes_fewer_columns_asks_for_fewer(visit: Visit) -> None:
    model = models.make(FRAME, without=["slope", "ca"])
    with served(model) as at:
        page = visit(at)
        expect(page.locator("[data-column=slope]")).to_be_hidden()
        expect(page.locator("input[name=cp][value='0']")).to_be_hidden()  # which no patient of its training had
        page.get_by_role("button", name="Fill in an example").click()
        page.get_by_role("button", name="Estimate").click()
        expect(page.locator("#answer")).to_be_visible()


def test_a_new_champion_asks_for_its_columns_and_starts_the_what_if_again(visit: Visit, model: PatientModel) -> None:
    follower = Follower("champion")
    with served(models.make(FRAME, without=["slope", "ca"]), follower=follower) as at:
        page = visit(at)
        page.get_by_role("button", name="Fill in an example").click()
        page.get_by_role("button", name="Estimate").click()
        expect(page.locator("#decision")).to_contain_text("version 7")
        follower.now = loaded(model, "8")
        page.locator("#thalach").fill("95")
        expect(page.locator("[data-column=slope]")).to_be_visible()
        # The page estimates by itself once every finding is there, so the last of them is entered last.
        page.locator("#thalach").fill("150")
        for name in ("slope", "ca"):
            page.locator(f"input[name={name}][value='{FIRST[name]}']").check()
        expect(page.locator("#decision")).to_contain_text("version 8")
        expect(page.locator("#what-if")).to_be_hidden()
        page.locator("#thalach").fill("95")
        expect(page.locator("#changes li")).to_have_text(
            ["Maximum heart rate achieved: 95 beats/min (before: 150 beats/min)"]
        )
        assert "undefined" not in page.locator("body").inner_text()


def test_an_older_version_shows_what_it_knows(visit: Visit, model: PatientModel) -> None:
    with served(PatientModel(model.encoder, model.network)) as at:
        page = visit(at)
        estimate(page)
        expect(page.locator("#status")).to_contain_text(
            f"{round(100 * probability(model))} of 100 such patients have heart disease."
        )
        for part in ("#range", "#drivers-part", "#unusual-part"):
            expect(page.locator(part)).to_be_hidden()


def test_a_token_is_asked_for_and_forgotten(visit: Visit, model: PatientModel) -> None:
    with served(model, "correct horse") as at:
        page = visit(at)
        expect(page.locator("#login")).to_be_visible()
        page.get_by_label("asks for a token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("The server does not know this token.")
        assert violations(page) == []
        page.get_by_label("asks for a token").fill("correct horse")
        page.keyboard.press("Enter")
        expect(page.locator("#login")).to_be_hidden()
        estimate(page)
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        page.reload()
        expect(page.locator("#login")).to_be_visible()


def test_a_file_comes_back_scored(visit: Visit, model: PatientModel, tmp_path: Path) -> None:
    came = FRAME.assign(age=FRAME["age"].where(FRAME.index != 5, 150))
    came.to_csv(tmp_path / "clinic.csv", index=False)
    page = visit()
    page.locator("#file").set_input_files(tmp_path / "clinic.csv")
    expect(page.locator("#scored")).to_contain_text("302 of 303 patients scored; 1 not")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save clinic scored.csv").click()
    assert download.value.suggested_filename == "clinic scored.csv"
    found = pd.read_csv(download.value.path())
    pd.testing.assert_series_equal(
        found["probability"], model.predict(came)["probability"].reset_index(drop=True), rtol=1e-6
    )
    page.evaluate("() => { const free = URL.revokeObjectURL; URL.freed = [];"
                  " URL.revokeObjectURL = (at) => { URL.freed.push(at); free.call(URL, at); }; }")  # fmt: skip
    first = page.get_by_role("link", name="Save clinic scored.csv").get_attribute("href")
    page.locator("#file").set_input_files(tmp_path / "clinic.csv")
    expect(page.locator("#scored a")).not_to_have_attribute("href", first)
    assert page.evaluate("URL.freed").count(first) == 1
    page.locator("#file").set_input_files({"name": "x.csv", "mimeType": "text/csv", "buffer": b"age\n3\n"})
    expect(page.locator("#scored")).to_contain_text("missing; expected age, sex")


def test_a_file_can_be_dropped_anywhere(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        """text => {
            const data = new DataTransfer()
            data.items.add(new File([text], "ward.csv", { type: "text/csv" }))
            document.querySelector("h1").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }))
        }""",
        FRAME.head(20).to_csv(index=False),
    )
    expect(page.locator("#scored")).to_contain_text("20 of 20 patients scored.")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("desktop", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", PHONE),
        ("phone dark", {**PHONE, "color_scheme": "dark"}),
    ],
)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    name: str, options: dict[str, Any], visit: Visit, shoot: Callable[[Any, str], None]
) -> None:
    page = visit(**options)
    assert violations(page) == []
    estimate(page, age=85)
    page.locator("#thalach").fill("95")
    expect(page.locator("#what-if")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    shoot(page, f"page 4 {name}")


def test_a_server_that_went_away_is_said(visit: Visit, model: PatientModel) -> None:
    with served(model) as at:
        page = visit(at)
        estimate(page)
    page.locator("#thalach").fill("95")
    expect(page.locator("#status")).to_have_text("The server does not answer. Try again in a moment.")
