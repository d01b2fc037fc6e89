"""The model card: the report's facts, short, in Markdown that says the same when it is rendered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from heart_disease.evaluation.contest import LOGISTIC, NETWORK
from heart_disease.registry.models import LONGEST
from heart_disease.reporting.report import facts, model_card
from tests.harness.data import patients
from tests.reporting.test_report import make
from tests.reporting.test_report_page import INFLUENCES

REPORT = replace(make(), influences=INFLUENCES)


@pytest.fixture(scope="module")
def card() -> str:
    found = facts.collect(patients.make(90), "/home/a/my_<b>_*file*.csv", REPORT, "heart-disease version 7")
    return model_card.render(found, "https://example.org/report")


def test_it_has_the_metrics_of_network_and_logistic_regression(card: str) -> None:
    network, logistic = (REPORT.metrics[model]["log_loss"] for model in (NETWORK, LOGISTIC))
    assert f"| log loss | {network} | {logistic} |" in card


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
