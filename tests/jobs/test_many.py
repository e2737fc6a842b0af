"""A job over a list: counted, logged, resumed; one bad video stops no other, a full disk all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.jobs.manifest import VideoRow
from pocketeye.jobs.many import LOG, ManyTracked, track_many
from tests.jobs.workers import FakeJob


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
