"""The page for people: made from the schema, open to everybody, and loading nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from heart_disease.model import encoding, schema
from heart_disease.serving import api
from heart_disease.serving.follower import Follower

PARTS = ("/", "/page.css", "/page.js")


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def page(client: TestClient) -> Tags:
    return Tags(client.get("/").text)


@pytest.mark.parametrize("column", schema.COLUMNS, ids=lambda column: column.name)
def test_each_column_has_a_field_with_its_limits_or_codes(column: schema.Column, page: Tags) -> None:
    [field] = [one for _, one in page.found if one.get("data-column") == column.name]
    inputs = [one for one in page.all("input") if one.get("name") == column.name]
    if column.codes:
        blank = [""] if column.optional else []
        assert [one["value"] for one in inputs] == [*map(str, column.codes), *blank]
        assert {one["data-input"] for one in inputs} <= set(encoding.HOT_NAMES) or column.ordered
    else:
        assert column.limits
        assert len(inputs) == 1
        assert (float(field["data-low"] or ""), float(field["data-high"] or "")) == column.limits
        assert (field["data-unit"], field["data-expected"]) == (column.unit, column.expected)


def test_each_number_has_a_label_and_words_for_its_limits_and_problem(page: Tags) -> None:
    ids = {one["id"] for _, one in page.found if "id" in one}
    labelled = {one.get("for") for one in page.all("label")}
    for one in page.all("input"):
        if one["type"] != "radio":
            assert one["id"] in labelled
            assert set((one.get("aria-describedby") or "").split()) <= ids


def test_nothing_is_loaded_from_elsewhere_and_the_browser_would_refuse_it(client: TestClient) -> None:
    for part in PARTS:
        response = client.get(part)
        assert response.status_code == 200
        assert not re.findall(r"(?:https?:)?//[a-z]", response.text.replace("// ", "")), part
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert "unsafe" not in policy


def test_no_script_and_no_style_is_in_the_page_itself(page: Tags) -> None:
    assert [one["src"] for one in page.all("script")] == ["page.js"]
    assert page.all("style") == []
    assert not [one for _, one in page.found if "style" in one or any(name.startswith("on") for name in one)]


def test_the_page_needs_no_token_and_what_it_asks_does(follower: Follower) -> None:
    guarded = TestClient(api.application(follower, "a token"))
    assert [guarded.get(part).status_code for part in PARTS] == [200, 200, 200]
    assert guarded.get("/model").status_code == guarded.post("/explain").status_code == 401
