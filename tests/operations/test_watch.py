"""What is watched for new content: files, folders, addresses; and that Prefect is told of an address."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from prefect.blocks.system import Secret
from prefect.types import MAX_VARIABLE_VALUE_LENGTH

from heart_disease.data import sources
from heart_disease.data.remote import addresses
from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.operations import deployments, watch
from heart_disease.operations.deployments import When
from heart_disease.operations.watch import Watch
from tests.harness.servers.web import Answer, serving


@pytest.mark.parametrize("pattern", [".", "*.csv"])
def test_a_folder_or_pattern_is_new_when_one_of_its_files_is(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age\n63\n")
    one = Watch(str(tmp_path / pattern))
    assert one.look() is None  # it may still be written
    first = one.look()
    assert first is not None
    (tmp_path / "b.csv").write_text("age\n37\n")
    assert one.look() is None
    assert one.look() not in (None, first)


def test_an_address_is_asked_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(b"one"), Answer(b"one"), Answer(b"two")) as site:
        one = Watch(site.address())
        first = one.look()
        assert first is not None
        assert one.look() is None
        assert len(site.asked) == 1  # it is not yet due
        monkeypatch.setattr(watch, "REMOTE_SECONDS", 0)
        one.due = 0
        assert one.look() is None  # the same content
        assert one.look() not in (None, first)


def test_an_address_that_does_not_answer_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "REMOTE_SECONDS", 0)
    with serving(Answer(status=404), Answer(status=404), Answer(b"one")) as site:
        one = Watch(site.address())
        assert one.look() is None
        assert one.look() is None
        assert one.look() is not None
    assert [record.levelno for record in caplog.records if record.name == "heart"] == [logging.WARNING]


def test_of_more_sources_than_prefect_has_room_for_the_latest_are_remembered() -> None:
    known: dict[str, str] = {}
    for i in range(100):
        known = watch.remembered(known, f"postgresql://db/clinic#query=SELECT {i}", "0" * 64)
    known = watch.remembered(known, next(iter(known)), "1" * 64)
    assert list(known.values())[-1] == "1" * 64
    assert "postgresql://db/clinic#query=SELECT 99" in known
    assert len(json.dumps(known)) <= MAX_VARIABLE_VALUE_LENGTH


@pytest.mark.usefixtures("prefect")
def test_prefect_is_told_of_an_address_and_starts_a_run_on_it() -> None:
    from flows.train import train

    source = "postgresql://reader:${HEART_SOURCE_PASSWORD}@db/clinic#table=patients"
    assert Watch(source).report("one")
    assert not Watch(source).report("one")
    made = deployments.retrain(train, When(on_data=source), {})
    [trigger] = made.triggers
    assert trigger.name == "retrain when patients changes"
    assert trigger.match.model_dump() == {"prefect.resource.id": f"heart.data.{source}"}  # type: ignore[union-attr]
    assert trigger.parameters == {"source": source}


def test_an_address_with_a_password_is_refused_before_anything_is_recorded() -> None:
    from flows.train import train

    with pytest.raises(UsageError, match="holds a password"):
        deployments.retrain(train, When(on_data="https://me:s3cr3t@example.org/a.csv"), {})


@pytest.mark.usefixtures("prefect")
def test_a_password_may_be_a_secret_block_of_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Secret(value="s3cr3t").save("clinic", overwrite=True)
    with serving(Answer(sources.BUNDLED.read_bytes())) as site:
        sources.load(site.address("a.csv?token=${prefect.clinic}"))
    assert site.asked[0]["path"] == "/a.csv?token=s3cr3t"
    with pytest.raises(UnavailableError, match="Prefect has no Secret of that name"):
        addresses.filled(addresses.parse("https://me:${prefect.nobody}@example.org/a.csv"))
