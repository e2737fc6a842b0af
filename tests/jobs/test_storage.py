"""Videos come from storage and outputs go there; what it does wrong is a sentence about one video."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import fsspec
import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.jobs.listing import open_list
from pocketeye.jobs.record import TrackedPart, TrackedVideo
from pocketeye.jobs.storage import Stored, address_of, here
from pocketeye.jobs.videos import NamedVideo, find_videos
from tests.jobs import storages
from tests.jobs.test_batch import folder_of_frames, make_job
from tests.tracking.trackers import make_tracker


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fsspec.AbstractFileSystem:
    """A bucket with the folders of frames ``clips/one`` and ``clips/two``, and a broken video."""
    storages.register()
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    folder_of_frames(tmp_path / "frames")
    for name in ("one", "two"):
        Stored(f"memory://bucket/clips/{name}").send(tmp_path / "frames")
    fs.pipe("/bucket/clips/broken.mp4", b"no video")
    return fs


def test_addresses_are_told_from_paths() -> None:
    assert address_of("s3://bucket/a.mp4") == "s3://bucket/a.mp4"
    assert address_of(Path("s3://bucket/a.mp4")) == "s3://bucket/a.mp4"
    assert address_of("hdfs:///a.mp4") == "hdfs:///a.mp4"
    for name in (
        "clips/a.mp4",
        "/clips/a:b.mp4",
        "C:/a.mp4",
        "rtsp://host/x",
        "https://host/x",
        "0",
    ):
        assert address_of(name) is None
    assert here("file:///clips/a.mp4") == "/clips/a.mp4"
    assert here("s3://bucket/a.mp4") == "s3://bucket/a.mp4"


def contents(fs: fsspec.AbstractFileSystem, folder: str) -> dict[str, bytes]:
    return {path: fs.cat_file(path) for path in fs.find(folder)}


def test_outputs_in_storage_are_those_made_here(bucket: fsspec.AbstractFileSystem) -> None:
    out = [Path("memory://bucket/out/masks"), Path("memory://bucket/out/found.json")]
    tracker = make_tracker()
    job = make_job(out=out, resume=True, load=lambda: tracker)
    video = NamedVideo(source="memory://bucket/clips/one", said="one", name="one")
    found = job.one(video)
    assert isinstance(found, TrackedVideo)
    assert (len(found.frames), found.files[1]) == (4, Path("memory:/bucket/out/found/one.json"))
    there = contents(bucket, "/bucket/out")
    make_job(out=[Path("masks"), Path("found.json")], load=lambda: tracker).one(
        NamedVideo(source="frames", said="one", name="one")
    )
    for name in ("masks/one/00003.png", "found/one_frames/00000.jpg", "masks/one.track.json"):
        assert f"/bucket/out/{name}" in there
    masks = {Path(name).name: data for name, data in there.items() if "/masks/one/" in name}
    assert masks == {path.name: path.read_bytes() for path in Path("masks/one").iterdir()}
    # Finished is finished, by the record there.
    again = job.one(video)
    assert isinstance(again, TrackedVideo)
    assert again.resumed
    with pytest.raises(
        InvalidValue, match=r"^memory://bucket/out/masks/one.track.json was made .*fps"
    ):
        dataclasses.replace(job, fps=3).one(video)
    with pytest.raises(InvalidValue, match="already there"):
        dataclasses.replace(job, resume=False).one(video)
    assert not list(Path("frames").glob("*.track.json"))


def test_stretches_go_on_from_storage(bucket: fsspec.AbstractFileSystem) -> None:
    tracker = make_tracker()
    whole = [Path("memory://bucket/whole.txt")]
    video = NamedVideo(source="memory://bucket/clips/two", said="two", name="two")
    make_job(out=whole, load=lambda: tracker).one(video)
    job = make_job(
        out=[Path("memory://bucket/parts.txt")], load=lambda: tracker, stretch=3, resume=True
    )
    parts = [job.one(video), job.one(video)]
    assert [part.num_frames for part in parts if isinstance(part, TrackedPart)] == [3, 1]
    kept = [Path(name).name for name in contents(bucket, "/bucket/parts")]
    assert [name for name in kept if name.startswith("state")] == ["state-00000004.safetensors"]
    assert isinstance(job.one(video), TrackedVideo)
    assert bucket.cat_file("/bucket/parts/two.txt") == bucket.cat_file("/bucket/whole/two.txt")
    assert not [name for name in contents(bucket, "/bucket/parts") if "stretches" in name]


def test_lists_in_storage(bucket: fsspec.AbstractFileSystem) -> None:
    bucket.pipe(
        "/bucket/jobs.csv", b"video,prompts\nclips/one,a.xml\n/clips/x.mp4,\ns3://b/c.mp4,\n"
    )
    with open_list(Path("memory://bucket/jobs.csv")) as listed:
        rows = list(listed.rows)
        assert listed.fingerprint
    assert [row.source for row in rows][::2] == ["memory://bucket/clips/one", "s3://b/c.mp4"]
    assert rows[0].asked["prompts"] == "memory://bucket/a.xml"
    with open_list(Path("memory://bucket/clips")) as listed:
        assert [row.source for row in listed.rows] == ["memory://bucket/clips/broken.mp4"]
    with pytest.raises(MissingFile, match=r"there is no memory://bucket/none\.csv"):
        open_list(Path("memory://bucket/none.csv")).__enter__()
    tracked, failed = make_job(out=[Path("a.txt")]).run(
        find_videos(["memory://bucket/clips/one", "memory://bucket/clips/broken.mp4"])
    )
    assert [video.video for video in tracked] == ["memory://bucket/clips/one"]
    assert failed[0].startswith("memory://bucket/clips/broken.mp4: ")


def test_storage_that_never_answers_is_given_up(bucket: fsspec.AbstractFileSystem) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidValue, match=r"silent://b/a.mp4 did not answer for 1 s"):
        make_job(storage_s=1.0, out=[Path("a.txt")]).run(find_videos("silent://b/a.mp4"))
    assert time.monotonic() - began < 5


def test_storage_that_answers_late_is_waited_for(
    bucket: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "late.txt").write_text("here")
    late = Stored("slow://b/late.txt", timeout_s=1.0)
    with pytest.raises(InvalidValue, match=r"slow://b/late.txt cannot be reached: no answer"):
        late.send(tmp_path / "late.txt")
    late.send(tmp_path / "late.txt")  # tried again
    late.fetch(tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_text() == "here"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s33://b/a.mp4", "Did you mean 's3'"),
        ("dvc://b/a.mp4", "needs the package 'dvc'.*pip install dvc"),
        ("memory://b/none.mp4", "there is no memory://b/none.mp4"),
    ],
)
def test_what_cannot_be_fetched(
    address: str, said: str, bucket: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    with pytest.raises((InvalidValue, MissingFile), match=said):
        Stored(address).fetch(tmp_path / "x.mp4")


def test_names_in_a_bucket_stay_in_their_folder(
    bucket: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    bucket.store["/bucket/evil/../../out.txt"] = bucket.store["/bucket/clips/broken.mp4"]
    Stored("memory://bucket/evil").fetch(tmp_path / "got" / "in")
    assert not list(tmp_path.rglob("out.txt"))
