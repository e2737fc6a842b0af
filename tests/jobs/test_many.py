"""A job over a list: counted, logged, resumed; one bad video stops no other, a full disk all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pocketeye import outputs
from pocketeye.errors import InvalidValue
from pocketeye.jobs.manifest import Manifest, VideoRow
from pocketeye.jobs.many import LOG, ManyTracked, _work, track_many
from pocketeye.jobs.serving import done
from tests.jobs.test_batch import folder_of_frames, make_job
from tests.jobs.workers import FakeJob
from tests.tracking.trackers import make_tracker


def run(folder: Path, *names: str, **options: Any) -> ManyTracked:
    rows = [VideoRow(source=f"clips/{name}", asked={}) for name in names]
    return track_many(rows, folder, FakeJob, num_workers=1, settings={"model": "m"}, **options)  # type: ignore[arg-type]


def test_failures_are_named_and_tried_again(tmp_path: Path) -> None:
    found = run(tmp_path, "a.mp4", "bad:.mp4", "b.mp4")
    assert found.counts == {"waiting": 0, "running": 0, "done": 2, "failed": 1}
    assert found.failed == ("clips/bad:.mp4:  is bad",)
    assert (found.num_now, found.frames) == (2, 4)
    log = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(row["name"], row["state"]) for row in log] == [
        ("a", "started"), ("a", "done"), ("bad-", "started"), ("bad-", "failed"),
        ("b", "started"), ("b", "done"), ("bad-", "started"), ("bad-", "failed"),
    ]  # fmt: skip
    with pytest.raises(InvalidValue, match="--resume"):
        run(tmp_path, "a.mp4")
    again = run(tmp_path, "a.mp4", "new.mp4", resume=True)
    assert (again.num_now, again.counts["done"]) == (1, 3)
    with pytest.raises(InvalidValue, match="--workers"):
        track_many([], tmp_path / "x", FakeJob, num_workers=0, settings={})  # type: ignore[arg-type]


def test_a_full_disk_ends_the_job_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"is full.*--resume"):
        run(tmp_path, "a.mp4", "full.mp4", "b.mp4")
    with pytest.raises(InvalidValue, match="is full"):
        run(tmp_path, resume=True)
    log = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row["name"] for row in log if row["state"] == "done"] == ["a"]


def test_a_second_run_says_who_has_the_manifest(tmp_path: Path) -> None:
    with (
        Manifest(tmp_path, {"model": "m"}),
        pytest.raises(InvalidValue, match=rf"in use by process {os.getpid()} on .* since"),
    ):
        run(tmp_path, "a.mp4", resume=True)


def test_a_disk_that_fills_while_a_stretch_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real job in this process: what a worker says of it, and how it goes on."""
    monkeypatch.chdir(tmp_path)
    folder_of_frames(Path("clips/a"), 5)
    tracker = make_tracker()
    job = make_job(out=[Path("o.txt")], load=lambda: tracker, stretch=3, resume=True)
    row = VideoRow(source="clips/a", asked={}, name="a", number=1)
    work = _work(lambda: job)
    real = outputs.os.fsync

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outputs.os, "fsync", full)
    kind, said = done(work, row)
    assert kind == "full"
    assert "is full (No space left on device), make room there" in said
    monkeypatch.setattr(outputs.os, "fsync", real)
    assert [done(work, row)[1][:2] for _ in range(3)] == [(False, 3), (False, 2), (True, 5)]
    assert not list(Path("o").glob("*partial*"))
