"""The cache of snapshots: what it shares, what it forgets, and who may read it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from heart_disease.data import sources
from heart_disease.data.remote import snapshots
from heart_disease.data.remote.snapshots import Snapshot
from heart_disease.model.errors import UnavailableError
from tests.harness.command import speaking
from tests.harness.servers.web import Answer, serving

PATIENTS = sources.BUNDLED.read_bytes()


def taken(content: bytes, path: str = "a.csv") -> Snapshot:
    with serving(Answer(content)) as site:
        return snapshots.take(site.address(path))


def used(snapshot: Snapshot, seconds: int) -> None:
    """Let the snapshot have been used so long ago."""
    note = snapshots.cache() / f"{snapshot.digest}.json"
    when = note.stat().st_mtime - seconds
    os.utime(note, (when, when))


def test_two_reads_of_the_same_bytes_are_one_snapshot(cache: Path) -> None:
    first, second = taken(PATIENTS), taken(PATIENTS)
    assert (first.digest, first.paths) == (second.digest, second.paths)
    assert len(list(cache.glob("*.csv"))) == 1


def test_a_snapshot_is_found_again_when_its_server_is_gone(cache: Path) -> None:
    first = taken(PATIENTS)
    again = sources.load("http://127.0.0.1:1/a.csv", first.digest)
    assert again.digest == sources.load().digest
    assert again.source == "http://127.0.0.1:1/a.csv"
    assert again.snapshot is not None
    assert again.snapshot.taken == first.taken


def test_a_damaged_or_missing_snapshot_is_none(cache: Path) -> None:
    first, second = taken(PATIENTS), taken(PATIENTS + b"\n")
    first.paths[0].write_bytes(PATIENTS[:-1])
    second.paths[0].unlink()
    assert snapshots.kept(first.digest, first.source) is None
    assert snapshots.kept(second.digest, second.source) is None
    assert snapshots.kept("nothing", first.source) is None
    assert {found.size for found in snapshots.every()} == {len(PATIENTS) - 1, 0}
    assert snapshots.empty() == 2
    assert snapshots.every() == []


def test_what_was_not_used_for_longest_makes_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MOST_KEPT", 250)
    one, other = taken(b"a" * 100), taken(b"b" * 100)
    used(one, 200)
    used(other, 100)
    assert snapshots.kept(one.digest, one.source)  # now it was used last
    third = taken(b"c" * 100)
    assert {found.digest for found in snapshots.every()} == {one.digest, third.digest}
    assert not other.paths[0].exists()


def test_what_a_version_learned_from_makes_room_last_and_that_is_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshots, "MOST_KEPT", 250)
    first = taken(b"a" * 100)
    snapshots.learned_from(first.digest)
    used(first, 300)
    for content in (b"b", b"c", b"a", b"d"):  # the first bytes once more: what is known of them is kept
        used(taken(content * 100), 200)
    again = snapshots.kept(first.digest, "x")
    assert again is not None
    assert again.learned
    assert "made room" not in caplog.text
    last = taken(b"e" * 200)
    assert [found.digest for found in snapshots.every()] == [last.digest]
    assert "which a version learned from, made room" in caplog.text
    snapshots.learned_from(first.digest)  # it is gone, and stays so
    assert [found.digest for found in snapshots.every()] == [last.digest]


def test_a_snapshot_that_is_gone_is_said_when_it_is_asked_for(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(Answer(PATIENTS)) as site:
        assert sources.load(site.address(), "0123456789").snapshot is not None
    assert "snapshot 01234567 of" in caplog.text
    assert "is gone; what is there now is read" in caplog.text


def test_what_a_killed_read_has_left_is_deleted_a_day_later(cache: Path) -> None:
    for name, days in ((".killed", 2), (".reading", 0)):
        (cache / name).mkdir(parents=True)
        when = time.time() - days * 24 * 3600
        os.utime(cache / name, (when, when))
    taken(PATIENTS)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [".reading"]


def test_only_their_owner_can_read_the_patients(cache: Path) -> None:
    found = taken(PATIENTS)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (*found.paths, *cache.glob("*.json")))


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UnavailableError, match="cannot be written: Not a directory"):
        taken(PATIENTS)


def test_the_command_lists_and_deletes_them(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    heart = speaking(capsys)
    found = taken(PATIENTS)
    code, out, _ = heart("snapshots")
    assert code == 0
    assert found.digest[:8] in out
    assert found.source in " ".join(out.split())
    assert "trained from" not in out
    snapshots.learned_from(found.digest)
    assert ", trained from" in heart("snapshots")[1]
    assert "1 snapshot in" in out
    assert heart("snapshots", "--empty")[1] == "1 snapshot deleted\n"
    assert list(cache.glob("*.csv")) == []
    assert "0 snapshots in" in heart("snapshots")[1]
