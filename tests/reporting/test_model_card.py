"""The model card: the report's facts, short, in Markdown that says the same when it is rendered."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from heart_disease.evaluation.contest import LOGISTIC, NETWORK, PREVALENCE
from heart_disease.registry.models import LONGEST
from heart_disease.reporting.report import facts, model_card
from tests.harness.data import patients
from tests.reporting.test_report import make
from tests.reporting.test_report_page import INFLUENCES, decided

REPORT = replace(make(), influences=INFLUENCES)


@pytest.fixture(scope="module")
def card() -> str:
    found = facts.collect(patients.make(90), "/home/a/my_<b>_*file*.csv", REPORT, "heart-disease version 7")
    return model_card.render(found, decided(REPORT), "https://example.org/report")


def test_it_has_the_metrics_of_every_model_that_was_judged(card: str) -> None:
    rows = re.findall("<tr>(.*?)</tr>", MarkdownIt().enable("table").render(card), re.DOTALL)
    cells = [re.findall("<t[hd]>(.*?)</t[hd]>", row.replace("\u00a0", "").replace(" <", "<")) for row in rows]
    assert cells[0] == ["metric", "network", "logistic regression", "prevalence"]
    losses = [str(REPORT.metrics[model]["log_loss"]) for model in (NETWORK, LOGISTIC, PREVALENCE)]
    assert cells[1] == ["log loss", *losses]


def test_it_says_what_became_of_the_version(card: str) -> None:
    assert f"* **Verdict of its training:** becomes champion: {decided(REPORT).reason}." in card
    refused = replace(decided(REPORT), promote=False, reason="worse")
    found = facts.collect(patients.make(90), "", REPORT, "")
    assert "training:** does not become champion: worse." in model_card.render(found, refused, "")


def test_it_names_data_threshold_groups_columns_and_use(card: str) -> None:
    for part in (
        "Data:",
        "Judged by",
        "Threshold:",
        "Groups",
        "Too few to judge:",
        "What it uses most:",
        "Blanks:",
        "Use:",
    ):
        assert f"* **{part}" in card
    assert "to find 90 % of the patients with disease, say yes from 0." in card
    assert "The model itself answers yes from 0.50 on." in card
    assert "thallium scan, ST depression by exercise, relative to rest, sex." in card
    assert "a blank in ca or thal is an input of its own" in card
    assert "[The report](https://example.org/report)" in card


def test_it_fits_into_a_versions_description(card: str) -> None:
    assert len(card) < LONGEST - 1000  # leaves room for what the version is now, and why


def test_rendered_it_is_a_table_and_a_list_and_the_file_name_is_plain(card: str) -> None:
    html = MarkdownIt().enable("table").render(card)
    assert html.count("<table>") == html.count("<ul>") == 1
    assert html.count("<tr>") == 7
    assert "90 patients of my_&lt;b&gt;_*file*.csv," in html
    assert "/home" not in html
