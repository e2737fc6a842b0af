"""The state of each video survives; two runs do not share a manifest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.jobs.manifest import NAME, Manifest, VideoRow

SETTINGS = {"model": "nano"}


def rows(*names: str) -> list[VideoRow]:
    return [VideoRow(source=name, asked={}) for name in names]


def test_a_video_is_done_once_and_failures_come_last(tmp_path: Path) -> None:
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert manifest.add(rows("a/x.mp4", "b/x.mp4", "c/X.mov", "a/x.mp4")) == 1
        first = manifest.take()
        assert first is not None
        assert first.name == "x"
        assert manifest.failed(first.number, "is bad")
        second, third, again = manifest.take(), manifest.take(), manifest.take()
        assert second is not None
        assert third is not None
        assert again is not None
        assert (second.name, third.name) == ("b-x", "c-X")
        assert again.number == first.number
        assert not manifest.failed(again.number, "is bad")
        manifest.done(second.number, 10, 1.5)
        assert manifest.take() is None
        assert manifest.failures() == ["a/x.mp4: is bad"]
        assert manifest.counts() == {"waiting": 0, "running": 1, "done": 1, "failed": 1}
    # As after a kill: what ran waits again, and what failed once it is asked for.
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert manifest.counts()["waiting"] == 1
        manifest.retry_failed()
        assert manifest.counts()["waiting"] == 2
        assert manifest.add(rows("a/x.mp4", "new.mp4")) == 1


def test_the_second_run_says_who_has_it(tmp_path: Path) -> None:
    with (
        Manifest(tmp_path, SETTINGS),
        pytest.raises(InvalidValue, match=f"in use by process {os.getpid()} on"),
    ):
        Manifest(tmp_path, SETTINGS)
    Manifest(tmp_path, SETTINGS).close()


def test_other_settings_and_damage_are_refused(tmp_path: Path) -> None:
    Manifest(tmp_path, SETTINGS).close()
    with pytest.raises(InvalidValue, match=r"another value of 'model' \(\"nano\", now \"tiny\"\)"):
        Manifest(tmp_path, {"model": "tiny"})
    Manifest(tmp_path, {"model": "tiny"}, again=True).close()
    (tmp_path / NAME).write_bytes(b"no database" * 100)
    with pytest.raises(InvalidValue, match=r"damaged|cannot write"):
        Manifest(tmp_path, SETTINGS)
    Manifest(tmp_path, SETTINGS, again=True).close()


def test_names_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    source = os.fsdecode(b"clips/caf\xe9.mp4")
    with Manifest(tmp_path, SETTINGS) as manifest:
        manifest.add([VideoRow(source=source, asked={"point": ["1,2"]})])
        row = manifest.take()
        assert row is not None
        assert (row.source, row.asked) == (source, {"point": ["1,2"]})
        row.name.encode()  # can be written


def test_updates_of_a_long_list_cost_no_more(tmp_path: Path) -> None:
    with Manifest(tmp_path, SETTINGS) as manifest:
        manifest.add(VideoRow(source=f"{n}.mp4", asked={}) for n in range(20_000))
        began = time.perf_counter()
        for _ in range(20):
            row = manifest.take()
            assert row is not None
            manifest.done(row.number, 1, 0.1)
        # Reading all rows for each would take several times as long.
        assert time.perf_counter() - began < 2


def test_a_disk_that_fills_ends_with_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    with Manifest(tmp_path, SETTINGS) as manifest:
        manifest.add(rows("a.mp4", "b.mp4"))
        row = manifest.take()
        assert row is not None
        # SQLite itself says that the disk is full where the file may not grow.
        (pages,) = manifest._base.execute("PRAGMA page_count").fetchone()
        manifest._base.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(InvalidValue, match=r"cannot write .*full.*make room.*--resume"):
            manifest.add(VideoRow(source=f"{n}.mp4", asked={}) for n in range(5000))
        manifest.done(row.number, 3, 0.1)
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert manifest.counts() == {"waiting": 1, "running": 0, "done": 1, "failed": 0}
        assert manifest.add(rows("a.mp4", "b.mp4", "c.mp4")) == 2


def test_a_long_video_goes_on_with_its_next_stretch(tmp_path: Path) -> None:
    with Manifest(tmp_path, SETTINGS) as manifest:
        manifest.add(rows("a.mp4", "b.mp4"))
        for frames in (0, 500):
            row = manifest.take()
            assert row is not None
            assert (row.source, row.frames) == ("a.mp4", frames)
            manifest.advanced(row.number, 500)
        row = manifest.take()
        assert row is not None
        manifest.failed(row.number, "its worker died")  # after all others again, with what it had
        other, again = manifest.take(), manifest.take()
        assert other is not None
        assert again is not None
        assert (other.source, again.source, again.frames) == ("b.mp4", "a.mp4", 1000)


def opened_and_updated(folder: Path) -> tuple[float, float]:
    """Seconds to open a manifest, and to take a video and note that it is done."""
    began = time.perf_counter()
    with Manifest(folder, SETTINGS) as manifest:
        opened = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(50):
            row = manifest.take()
            assert row is not None
            manifest.done(row.number, 1, 0.1)
        return opened, (time.perf_counter() - began) / 50


@pytest.mark.slow
def test_a_million_rows_open_in_seconds_and_change_as_quickly_as_a_thousand(tmp_path: Path) -> None:
    for name, count in (("short", 1000), ("long", 1_000_000)):
        with Manifest(tmp_path / name, SETTINGS) as manifest:
            manifest.add(
                VideoRow(source=f"{n // 1000}/{n}.mp4", asked={"point": ["1,2"]})
                for n in range(count)
            )
    _, short = opened_and_updated(tmp_path / "short")
    opened, long = opened_and_updated(tmp_path / "long")
    assert opened < 5
    assert long < 5 * short + 0.01  # a search through all rows takes a hundred times as long
