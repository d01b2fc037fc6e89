"""How much memory there is, in a container and outside of one."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from heart_disease.processes import memory

MB = 10**6


def cgroup(folder: Path, limit: str, used: int, stat: str, version: int) -> Path:
    inside = folder if version == 2 else folder / "memory"
    inside.mkdir(exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (inside / names[0]).write_text(f"{limit}\n")
    (inside / names[1]).write_text(f"{used}\n")
    (inside / "memory.stat").write_text(stat)
    return folder


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 5000 * MB}))
    return int(psutil.Process().memory_info().rss)


def test_without_a_limit_it_is_what_the_machine_has_and_what_the_process_has(own: int, tmp_path: Path) -> None:
    assert memory.room(tmp_path) == pytest.approx(5000 * MB + own, abs=50 * MB)
    assert memory.room(cgroup(tmp_path, "max", 10 * MB, "", 2)) == pytest.approx(5000 * MB + own, abs=50 * MB)


@pytest.mark.parametrize(
    ("version", "stat"),
    [
        (2, f"anon 7\ninactive_file {100 * MB}\nactive_file {50 * MB}\n"),
        (1, f"inactive_file 5\nactive_file 5\ntotal_inactive_file {100 * MB}\ntotal_active_file {50 * MB}\n"),
    ],
)
def test_a_container_has_its_limit_and_files_in_memory_do_not_count(
    own: int, tmp_path: Path, version: int, stat: str
) -> None:
    found = memory.room(cgroup(tmp_path, str(1000 * MB), 400 * MB, stat, version))
    assert found == pytest.approx((1000 - 400 + 150) * MB + own, abs=50 * MB)


def test_the_kernel_counts_the_processes_that_it_ended(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 12\noom_kill 3\nballoon_inflate 0\n")
    assert memory.kills(tmp_path / "vmstat") == 3
    assert memory.kills(tmp_path / "none") is None
