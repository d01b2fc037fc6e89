"""Files on the web: what is tried again and what is not, what bounds a read, and that passwords stay out of errors."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from heart_disease.data import sources
from heart_disease.data.remote import patience, snapshots, web
from heart_disease.data.remote.patience import Patience
from heart_disease.model.errors import HeartError, SourceError, UnavailableError
from heart_disease.processes.loopback import free_port
from tests.harness.data import workbook
from tests.harness.servers.web import Answer, serving

QUICK = Patience(attempts=3, first_wait=0.01, longest_wait=0.05, silence=0.3)
PATIENTS = sources.BUNDLED.read_bytes()


def test_a_file_on_the_web_is_the_same_table_as_the_file_itself() -> None:
    with serving(Answer(PATIENTS)) as site:
        table = sources.load(site.address("data/cleveland.csv"))
    assert table.digest == sources.load().digest
    assert table.source == site.address("data/cleveland.csv")
    assert table.snapshot is not None
    assert table.snapshot.paths[0].read_bytes() == PATIENTS


def test_a_file_without_a_suffix_is_what_the_server_calls_it(tmp_path: Path) -> None:
    book = workbook.write(tmp_path / "a.xlsx", [["age", "num"], [63, 0]]).read_bytes()
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    with serving(Answer(book, headers=(("Content-Type", kind),))) as site:
        assert sources.load(site.address("download?id=1")).frame.loc[1].tolist() == [63, 0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_that_may_pass_is_waited_for(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="heart")
    with serving(Answer(status=status), Answer(status=status), Answer(PATIENTS)) as site:
        assert snapshots.take(site.address(), QUICK).size == len(PATIENTS)
    assert len(site.asked) == 3
    assert f"the server answers {status}" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_an_answer_that_is_final_is_not_asked_for_again(status: int) -> None:
    with serving(Answer(status=status)) as site, pytest.raises(SourceError, match=f"the server answers {status}"):
        snapshots.take(site.address(), QUICK)
    assert len(site.asked) == 1


def test_a_server_that_asks_for_time_gets_it_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Answer(status=503, headers=(("Retry-After", "3600"),)), Answer(PATIENTS)) as site:
        snapshots.take(site.address(), QUICK)
    assert "again in 0.05 s" in caplog.text


def test_half_a_file_is_no_file() -> None:
    with serving(Answer(PATIENTS[:500], length=len(PATIENTS)), Answer(PATIENTS)) as site:
        assert snapshots.take(site.address(), QUICK).size == len(PATIENTS)
    assert len(site.asked) == 2


def test_a_server_that_goes_silent_is_given_up_after_some_tries() -> None:
    with (
        serving(Answer(PATIENTS[:500], length=len(PATIENTS), stalls=True)) as site,
        pytest.raises(UnavailableError, match="tried 3 times and cannot be read: no answer within 0.3 s"),
    ):
        snapshots.take(site.address(), QUICK)
    assert len(site.asked) == 3
    assert snapshots.every() == []


def test_a_port_on_which_nothing_listens_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="refused"):
        snapshots.take(f"http://127.0.0.1:{free_port()}/a.csv", QUICK)


def test_a_read_is_bounded(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(web, "MOST_BYTES", 1000)
    with serving(Answer(PATIENTS)) as site:
        for read in (lambda: snapshots.take(site.address(), QUICK), lambda: snapshots.state(site.address())):
            with pytest.raises(SourceError, match="has more than 1,000 bytes"):
                read()
    assert [path.name for path in cache.iterdir()] == []  # nothing half is left


def test_a_read_that_takes_too_long_ends() -> None:
    with serving(Answer(PATIENTS)) as site, pytest.raises(UnavailableError, match="was not read: after 0 s only"):
        snapshots.take(site.address(), Patience(total=0))


def test_a_page_in_the_place_of_a_file_is_said_to_be_one() -> None:
    page = Answer(b"<!DOCTYPE html><html></html>", headers=(("Content-Type", "text/html"),))
    with serving(page) as site, pytest.raises(SourceError, match="is a web page; expected a file of patients"):
        snapshots.take(site.address(), QUICK)


def test_a_redirection_is_followed() -> None:
    with serving(Answer(status=302, headers=(("Location", "/elsewhere.csv"),)), Answer(PATIENTS)) as site:
        assert snapshots.take(site.address(), QUICK).size == len(PATIENTS)


def test_an_error_of_the_file_names_the_address_and_not_the_cache() -> None:
    with serving(Answer(b"age,sex\n63\n")) as site, pytest.raises(SourceError) as caught:
        sources.load(site.address())
    assert str(caught.value).startswith(f"'{site.address()}' has 1 cells in line 2")


@pytest.mark.parametrize("status", [200, 403, 503])
def test_a_password_is_sent_and_never_shown(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    monkeypatch.setenv("HEART_SOURCE_PASSWORD", "s3cr3t/@")
    monkeypatch.setenv("HEART_SOURCE_TOKEN", "t0k3n")
    caplog.set_level(logging.DEBUG)
    said = ""
    with serving(Answer(PATIENTS, status=status)) as site:
        address = site.address("a.csv?token=${HEART_SOURCE_TOKEN}", "me:${HEART_SOURCE_PASSWORD}@")
        try:
            said = repr(snapshots.take(address, QUICK))
        except HeartError as error:
            said = f"{error} {error.__cause__}"
    assert site.asked[0]["Authorization"] == f"Basic {base64.b64encode(b'me:s3cr3t/@').decode()}"
    assert site.asked[0]["path"] == "/a.csv?token=t0k3n"
    kept = "".join(path.read_text() for path in cache.glob("*.json"))
    for secret in ("s3cr3t", "t0k3n"):
        assert secret not in said + kept + caplog.text


def test_a_watched_file_is_told_by_its_tag_or_date_or_content() -> None:
    tag, date = (("ETag", '"1"'),), (("Last-Modified", "Sun, 29 Nov 2026 12:00:00 GMT"),)
    for one, other in (
        (Answer(b"a", headers=tag), Answer(b"a", headers=(("ETag", '"2"'),))),
        (Answer(b"a", headers=date), Answer(b"ab", headers=date)),
        (Answer(b"a"), Answer(b"b")),
    ):
        with serving(one, one, other) as site:
            first, second, third = (snapshots.state(site.address()) for _ in range(3))
        assert first == second
        assert second != third


def test_a_patience_doubles_its_waits_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(patience, "sleep", waits.append)

    def fails() -> None:
        raise patience.TransientError("busy")

    with pytest.raises(UnavailableError, match="'x' was tried 5 times and cannot be read: busy"):
        patience.patiently(fails, "x", Patience(attempts=5, first_wait=1, longest_wait=3))
    assert waits == [1, 2, 3, 3]
