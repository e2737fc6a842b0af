"""Names of videos, where their results go, and how an interrupted job goes on."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.errors import InvalidValue, UserError
from pocketeye.jobs import job as job_module
from pocketeye.jobs.job import Detection, TrackJob
from pocketeye.jobs.stretches import Stretches
from pocketeye.jobs.targets import targets_of
from pocketeye.jobs.videos import find_videos
from pocketeye.tracking.video.frame_prompts import (
    Request,
    parse_names,
    parse_prompts,
    parse_removals,
)
from tests.tracking.trackers import make_tracker, moving


def folder_of_frames(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(moving(count)):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of frames, a file that is no video, and a text, in the folder ``clips``."""
    monkeypatch.chdir(tmp_path)
    clips = tmp_path / "clips"
    for name in ("clip2", "clip10"):
        folder_of_frames(clips / name)
    (clips / "broken.mp4").write_bytes(b"no video")
    (clips / "notes.md").write_text("hello")
    return Path("clips")


def names(*named: str) -> list[str]:
    return [video.name for video in find_videos(list(named))]


def test_a_folder_of_clips_and_patterns(clips: Path) -> None:
    assert names("clips") == ["broken", "clip2", "clip10"]
    assert names("clips/clip2") == ["clip2"]
    assert names("clips/clip*") == ["clip2", "clip10"]
    assert names("clips/*.mp4", "clips/clip2") == ["broken", "clip2"]
    (by_pattern,) = find_videos("clips/clip2/*.png")
    assert by_pattern.source == "clips/clip2/*.png"
    assert names("clips/*/*.png") == ["clip2", "clip10"]
    # a shell makes many names of a pattern: they are the frames of one video
    (expanded,) = find_videos([f"clips/clip2/{i}.png" for i in (3, 0, 2, 1)])
    assert [path.name for path in expanded.source] == ["0.png", "1.png", "2.png", "3.png"]
    assert expanded.name == "clip2"
    assert names("0") == ["0"]
    folder_of_frames(Path("br [1]/walk"))
    assert names("br [1]/w*") == ["walk"]
    frames = moving(2)
    assert find_videos(frames)[0].source is frames


def test_videos_of_the_same_name_are_told_apart(clips: Path) -> None:
    folder_of_frames(Path("other/clip2"))
    assert names("clips/clip2", "other/clip2", "clips/clip10") == [
        "clips-clip2", "other-clip2", "clip10",
    ]  # fmt: skip
    assert names("clips/clip2", "clips/clip2") == ["0001-clip2", "0002-clip2"]


def test_a_folder_without_videos(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.md").write_text("hello")
    with pytest.raises(InvalidValue, match=r"neither images nor videos \(only notes.md\)"):
        find_videos(tmp_path / "text")
    with pytest.raises(InvalidValue, match="say which video"):
        find_videos([])


def test_each_of_several_videos_has_its_own_files() -> None:
    out = [Path("masks"), Path("a.json")]
    assert targets_of(out, "clip", several=False) == out
    assert targets_of(out, "clip", several=True) == [Path("masks/clip"), Path("a/clip.json")]
    assert targets_of([], "clip", several=True) == [Path("out/track/clip.mp4")]
    with pytest.raises(InvalidValue, match=r"--out a\.json is given twice"):
        targets_of([Path("a.json"), Path("a.json")], "clip", several=False)


def make_job(**changes) -> TrackJob:
    values = {
        "load": make_tracker, "request": Request(prompts=parse_prompts(["30,40"], None, 0, [])),
        "out": [Path("masks"), Path("found.json")],
    }  # fmt: skip
    return TrackJob(**{**values, **changes})


def contents(*folders: str) -> dict[str, bytes]:
    paths = [path for folder in folders for path in Path(folder).rglob("*")]
    kept = [path for path in paths if path.is_file() and not path.name.endswith(".track.json")]
    return {str(path): path.read_bytes() for path in kept}


def test_a_bad_video_does_not_end_the_job(clips: Path) -> None:
    tracked, failed = make_job().run(find_videos(clips))
    assert [video.video for video in tracked] == ["clips/clip2", "clips/clip10"]
    assert [len(video.frames) for video in tracked] == [4, 4]
    (sentence,) = failed
    assert sentence.startswith("clips/broken.mp4: ")
    assert len(list(Path("masks/clip10").glob("*.png"))) == 4
    images = json.loads(Path("found/clip2.json").read_text())["images"]
    assert all((Path("found") / image["file_name"]).is_file() for image in images)
    assert not list(Path().rglob("*.partial*"))
    with pytest.raises(InvalidValue, match=r"masks/clip2 is already there: .*--resume"):
        make_job().run(find_videos(clips))
    with pytest.raises(UserError, match="broken"):
        make_job(out=[Path("x.json")]).run(find_videos("clips/broken.mp4"))


class Killed(BaseException):
    """As a signal ends a job."""


def test_resumed_equals_uninterrupted(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = find_videos("clips/clip*")
    make_job().run(videos)
    expected = contents("masks", "found")
    for folder in ("masks", "found"):
        Path(folder).rename(f"{folder}-whole")

    seen = 0

    def stopping(results, record, settings):
        nonlocal seen
        for result in recorded(results, record, settings):
            seen += 1
            if seen == 6:  # in the second clip
                raise Killed
            yield result

    recorded = job_module._recorded
    with monkeypatch.context() as patched:
        patched.setattr(job_module, "_recorded", stopping)
        with pytest.raises(Killed):
            make_job().run(videos)
    assert len(contents("masks")) < len([name for name in expected if name.startswith("masks")])
    tracked, failed = make_job(resume=True).run(videos)
    assert failed == []
    assert [video.resumed for video in tracked] == [True, False]
    assert [len(video.frames) for video in tracked] == [4, 4]
    assert contents("masks", "found") == expected


def test_a_resumed_job_must_ask_for_the_same(clips: Path) -> None:
    videos = find_videos("clips/clip*")
    make_job().run(videos)
    again, _ = make_job(resume=True).run(videos)
    assert all(video.resumed for video in again)
    other = Request(prompts=parse_prompts(["31,40"], None, 0, []))
    with pytest.raises(InvalidValue, match=r"clip2.track.json was made with another .*'prompts'"):
        make_job(resume=True, request=other).run(videos)
    record = Path("masks/clip2.track.json")
    for text in ("[1]", "{", '{"settings": {}, "finished": 3}', '{"finished": true}', "\x00"):
        record.write_text(text)
        with pytest.raises(InvalidValue, match=r"clip2.track.json is not a record .* --overwrite"):
            make_job(resume=True).run(videos)
    record.unlink()
    with pytest.raises(InvalidValue, match="nothing says what it was made by"):
        make_job(resume=True).run(videos)


def test_a_record_whose_rows_are_damaged(clips: Path) -> None:
    make_job().run(find_videos("clips/clip2"))
    record = Path("masks.track.json")
    said = json.loads(record.read_text())
    for key, value in (("size", "big"), ("seconds", None), ("frames", [{"frame": 0}])):
        record.write_text(json.dumps({**said, key: value}))
        with pytest.raises(InvalidValue, match=f"is not a record .*'{key}'"):
            make_job(resume=True).run(find_videos("clips/clip2"))


def ids(tracked) -> list[list[int]]:
    return [[row["id"] for row in frame["objects"]] for frame in tracked[0].frames]


def test_a_range_a_removal_and_names(clips: Path) -> None:
    request = Request(
        prompts=parse_prompts(["30,40"], None, 1, ["2:90,20@2"]), removals={1: 3},
        names={2: "dog"}, start=1, stop=4,
    )  # fmt: skip
    tracked, _ = make_job(request=request, out=[Path("a.json")]).run(find_videos("clips/clip2"))
    assert [frame["frame"] for frame in tracked[0].frames] == [1, 2, 3]
    assert ids(tracked) == [[1], [1, 2], [2]]
    data = json.loads(Path("a.json").read_text())
    assert {row["name"] for row in data["categories"]} == {"object", "dog"}
    assert [image["id"] for image in data["images"]] == [1, 2, 3]
    assert data["images"][0]["file_name"] == "clips/clip2/1.png"  # what is there is not copied
    assert not Path("a_frames").exists()


def test_what_a_detector_finds_is_tracked(clips: Path) -> None:
    from pocketeye.results import Result

    def find(frame: np.ndarray) -> Result:
        height, width = frame.shape[:2]
        boxes = [[5, 25, 35, 55], [100, 60, width + 3, height + 9]]
        return Result(size=(width, height), boxes=np.array(boxes), labels=("disc", "corner"))

    detection = Detection(find=find, frame=1, said="disc")
    request = Request(prompts=parse_prompts([], None, 0, ["1:60,40@0"]))
    job = make_job(request=request, detection=detection, out=[Path("a.json")])
    tracked, _ = job.run(find_videos("clips/clip2"))
    assert ids(tracked) == [[1], [1, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert [row["label"] for row in tracked[0].frames[1]["objects"]] == ["object", "disc", "corner"]

    # A row of a list says itself in which frame the detector looks.
    (row,) = (replace(video, frame=2) for video in find_videos("clips/clip10"))
    tracked, _ = make_job(detection=detection, request=Request(), out=[Path("c.json")]).run([row])
    assert next(frame["frame"] for frame in tracked[0].frames if frame["objects"]) == 2

    def nothing(frame: np.ndarray) -> Result:
        return Result(size=(frame.shape[1], frame.shape[0]))

    empty = Detection(find=nothing, frame=1, said="dog of a score from 0.5")
    with pytest.raises(InvalidValue, match=r"clip2: there is no dog .*in frame 1: lower"):
        make_job(detection=empty, out=[Path("b.json")]).run(find_videos("clips/clip2"))
    assert not list(Path().glob("b*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": 3, "stop": 3}, "no frames from --start 3 up to --stop 3"),
        ({"start": 9}, "no frame 9 to start in: its 8 frames are 0 to 7"),
        ({"stop": 9}, "ends before --stop 9"),
        ({"start": 2}, "object 1 is shown in frame 1, but frames 2 to the end are tracked"),
        ({"stop": 1}, "object 1 is shown in frame 1, but frames 0 to 0 are tracked"),
        ({"removals": {2: 3}}, "--remove names object 2, but only 1 is shown"),
        ({"removals": {1: 1}}, "removed in frame 1, but first shown in 1"),
        ({"removals": {1: 4}}, "removed in frame 4 and shown again in 5"),
        ({"removals": {1: 8}}, "no frame 8 to remove an object in"),
        ({"names": {3: "dog"}}, "--name names object 3"),
        ({"prompts": ()}, "nothing says what to track"),
    ],
)
def test_requests_that_cannot_be_met(changes, said) -> None:
    prompts = parse_prompts(["30,40"], None, 1, ["1:5,5@5"])
    with pytest.raises(InvalidValue, match=said):
        Request(**{"prompts": prompts, **changes}).check(8, "clip")


def test_words_are_read_again() -> None:
    assert parse_removals(["2@80", "3 @ 5"]) == {2: 80, 3: 5}
    assert parse_names(["1=dog", "2=a = b"]) == {1: "dog", 2: "a = b"}
    for parse, text in (
        (parse_removals, "2:80"), (parse_removals, "2@"), (parse_names, "dog"),
        (parse_names, "1="), (parse_names, "1=a\nb"), (parse_removals, "1@" + "9" * 30),
    ):  # fmt: skip
        with pytest.raises(InvalidValue):
            parse([text])
    with pytest.raises(InvalidValue, match="removed twice"):
        parse_removals(["2@1", "2@2"])
    with pytest.raises(InvalidValue, match="two names"):
        parse_names(["2=a", "2=b"])


def test_a_name_too_long_for_any_file() -> None:
    assert find_videos("x" * 5000)[0].source == "x" * 5000


@pytest.mark.parametrize("stretch", [1, 3, 7])
def test_in_stretches_as_in_one_go(stretch: int, tmp_path: Path, monkeypatch) -> None:
    """A prompt, a removal and a range; outputs equal byte for byte, also where the job was killed."""
    monkeypatch.chdir(tmp_path)
    folder_of_frames(Path("far/clip"), 9)
    request = Request(
        prompts=parse_prompts(["30,40"], None, 1, ["2:90,20@4"]), removals={1: 6},
        names={2: "dog"}, start=1,
    )  # fmt: skip
    options = {"request": request, "load": lambda: tracker}
    tracker = make_tracker()
    places = {f"{n}.{kind}": kind for n in ("whole", "parts") for kind in ("json", "mp4", "txt")}
    out = [Path(name) for name in places]
    [whole], _ = make_job(**options, out=out[:3]).run(find_videos("far/clip"))
    killed = 0

    def add(self, *args: object) -> None:
        nonlocal killed
        killed += 1
        if killed == 2:  # the second stretch is lost
            raise Killed
        kept(self, *args)

    kept = Stretches.add
    monkeypatch.setattr(Stretches, "add", add)
    parts = make_job(**options, out=out[3:], stretch=stretch)
    with pytest.raises(Killed):
        parts.run(find_videos("far/clip"))
    begun = [p.name for p in Path().glob(".parts.stretches-*/frames-*")]
    assert begun == [f"frames-00000001-{1 + stretch:08d}.safetensors"]
    [tracked], _ = dataclasses.replace(parts, resume=True).run(find_videos("far/clip"))
    assert killed == 1 + -(-8 // stretch)  # eight frames; no stretch but the lost one twice
    assert tracked.frames == whole.frames
    for one, other in zip(out[:3], out[3:], strict=True):
        ours, theirs = (
            one.read_bytes(),
            other.read_bytes().replace(b"parts_frames", b"whole_frames"),
        )
        assert ours == theirs, one
    assert not list(Path().glob(".*.stretches*"))
    # Begun anew, nothing that was kept is used.
    killed = 2
    dataclasses.replace(parts, overwrite=True).run(find_videos("far/clip"))
    assert killed == 2 + -(-8 // stretch)
