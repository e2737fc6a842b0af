"""Workers of a Ray cluster do what those of this machine do, and one that is killed loses nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pocketeye.errors import InvalidValue, MissingExtra
from pocketeye.jobs import cluster as module
from pocketeye.jobs.cluster import Cluster
from pocketeye.jobs.manifest import NAME, VideoRow
from pocketeye.jobs.many import LOG, ManyTracked, track_many
from pocketeye.jobs.pool import work_through
from pocketeye.jobs.spec import TrackSpec
from pocketeye.tracking.video.frame_prompts import Request
from tests.jobs import workers
from tests.jobs.test_batch import folder_of_frames


def test_without_ray_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "pocketeye\[ray\]"'):
        Cluster(workers.make, "auto")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1"),
        ("ray://127.0.0.1:1", "no Ray cluster at ray://127.0.0.1:1"),
        ("nonsense", "HOST:PORT"),
        ("host:port", "HOST:PORT"),
        ("auto", "no Ray cluster"),
    ],
)
def test_a_cluster_that_is_not_there(
    address: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    # The note of a cluster that has ended.
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(InvalidValue, match=said):
        track_many([], tmp_path / "out", workers.FakeJob, settings={}, cluster=address)  # type: ignore[arg-type]
    assert time.monotonic() - began < 10
    assert not (tmp_path / "out").exists()


def test_outputs_must_be_seen_by_all_machines(tmp_path: Path) -> None:
    spec = TrackSpec(
        model="pocketeye_tam_nano", checkpoint=None, device="cpu", dtype="float32", engine="auto",
        detect=None, classes=(), score_threshold=None, frame=0, request=Request(),
        out=(Path("out.txt"),),
    )  # fmt: skip
    with pytest.raises(InvalidValue, match=r"does not see .*share"):
        spec.job_in(Path.cwd(), tmp_path / NAME)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of this machine with two cores, which this process has joined."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        ray.init(
            "local", num_cpus=2, include_dashboard=False, configure_logging=False,
            log_to_driver=False, object_store_memory=80 << 20,
        )  # fmt: skip
        yield
        ray.shutdown()


@pytest.mark.slow
def test_each_task_ends_once_whatever_becomes_of_others(cluster: None, tmp_path: Path) -> None:
    tasks = ["a", "bad:b", f"die:{tmp_path / 'died'}", "full", "c", "hang"]
    found = []
    with Cluster(workers.make, "auto") as crew:
        assert crew.num_workers == 2  # one for each core
        for outcome in work_through(lambda: tasks.pop(0) if tasks else None, crew, patience_s=8):
            found.append(outcome)
            if outcome.kind == "lost" and outcome.task != "hang":
                tasks.append(outcome.task)
    kinds = sorted((outcome.task.split(":")[0], outcome.kind) for outcome in found)
    assert kinds == [
        ("a", "done"), ("bad", "failed"), ("c", "done"), ("die", "done"), ("die", "lost"),
        ("full", "full"), ("hang", "lost"),
    ]  # fmt: skip
    values = {outcome.task: outcome.value for outcome in found}
    assert values["a"] == "a 1"  # one thread
    assert "nothing came for 8 s" in values["hang"]
    with Cluster(workers.cannot_make, "auto", 1) as crew, pytest.raises(InvalidValue, match="here"):
        list(work_through(lambda: "a", crew))
    with pytest.raises(InvalidValue, match="0 GPU"):
        Cluster(workers.make, "auto", num_gpus=1)


def tracked(
    folder: Path, cluster: str | None, num_workers: int, stretch: int | None = None
) -> ManyTracked:
    (folder / "pids").mkdir(parents=True)
    rows = [VideoRow(source=f"clips/{n}", asked={"name": [f"1={n}"]}) for n in range(4)]
    make = partial(workers.nano_job, Path.cwd(), folder / "out.json", folder / "pids", stretch)
    return track_many(
        rows, folder / "out", make, num_workers=num_workers, settings={}, cluster=cluster
    )


def kill_one(folder: Path) -> None:
    """Kill a worker of the cluster while it writes its second video."""
    log, pids = folder / "out" / LOG, folder / "pids"
    for _ in range(600):
        time.sleep(0.1)
        done = log.exists() and '"stretch done"' in log.read_text("utf-8")
        if done and len(list(pids.iterdir())) == 2:
            os.kill(int(next(pids.iterdir()).name), signal.SIGKILL)
            return


@pytest.mark.slow
def test_outputs_are_those_of_one_process_also_where_a_worker_is_killed(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        folder_of_frames(Path(f"clips/{number}"), 9)
    alone = tracked(tmp_path / "alone", None, 1)
    assert alone.counts["done"] == 4
    killer = threading.Thread(target=kill_one, args=(tmp_path / "many",))
    killer.start()
    many = tracked(tmp_path / "many", "auto", 2, stretch=3)
    killer.join()
    assert many.counts == {"waiting": 0, "running": 0, "done": 4, "failed": 0}
    assert many.frames == 36
    names = [
        path.name for path in (tmp_path / "alone/out").glob("*.json") if "track" not in path.name
    ]
    assert len(names) == 4
    for name in names:
        ours, theirs = (tmp_path / where / "out" / name for where in ("many", "alone"))
        assert ours.read_bytes() == theirs.read_bytes()
    log = [json.loads(line) for line in (tmp_path / "many/out" / LOG).read_text().splitlines()]
    assert [row["state"] for row in log].count("done") == 4
    assert [row["error"] for row in log if row["state"] == "failed"] == ["its worker died"]
    assert len(list((tmp_path / "many/pids").iterdir())) == 3  # another one came for it
