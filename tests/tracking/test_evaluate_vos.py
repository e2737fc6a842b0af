"""Which frames count, how objects are shown, and clips or results that cannot be scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.vos.layouts import load_videos
from pocketeye.data.vos.sequences import VideoSet
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.tracking.evaluation.evaluate import (
    VosPlan,
    evaluate_folder,
    evaluate_vos,
    scored_frames,
)
from pocketeye.tracking.evaluation.report import save_vos
from pocketeye.tracking.evaluation.result import beaten_by
from tests.data.video_layouts import (
    davis,
    ids,
    sav_images,
    save_frames,
    save_masks,
    save_palette,
    square,
)
from tests.tracking.following import Blind, MovedTruth
from tests.tracking.trackers import make_tracker

TWO = dict.fromkeys(range(6), (1, 2))
LATE = {0: (1,), 1: (1,), 2: (1, 2), 3: (1,), 4: (1, 2), 5: (1, 2)}


def videos_of(root: Path, **clips: dict[int, tuple[int, ...]]) -> VideoSet:
    return load_videos(davis(root, clips), "val")


def test_first_and_last_frame_do_not_count(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=TWO)
    # Squares of 4x4 moved by 2 pixels: 8 of 24 pixels agree. Frames 0 and 5 would spoil the mean.
    follower = MovedTruth(videos[0], {0: 9, 3: 2, 5: 9})
    result = evaluate_vos(follower, videos, name="it")
    assert [score.num_frames for score in result.scores] == [4, 4]
    assert result.mean.j.mean == pytest.approx((1 + 1 + 1 / 3 + 1) / 4)
    assert result.mean.j.recall == pytest.approx(3 / 4)
    assert result.by_sequence()["a"].jf == pytest.approx(result.mean.jf)
    worst = result.worst()
    assert [(w.object_id, w.frame) for w in worst[:3]] == [(1, 3), (2, 3), (1, 1)]
    assert {w.frame for w in worst} == {1, 2, 3, 4}  # one of each quarter
    assert [(w.object_id, w.frame) for w in result.worst(1)] == [(1, 3)]
    assert (result.followed, follower.passes) == (6, 1)
    assert result.problems == ()


def test_an_object_counts_after_the_frame_it_is_shown_in(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=LATE)
    assert scored_frames(videos[0], VosPlan()) == {1: (1, 2, 3, 4), 2: (3, 4)}
    everything = VosPlan(protocol="online")
    assert scored_frames(videos[0], everything) == {1: (0, 1, 2, 3, 4, 5), 2: (2, 3, 4, 5)}
    follower = MovedTruth(videos[0], {3: 2})
    result = evaluate_vos(follower, videos)
    assert [(p["id"], p["frame"]) for p in follower.prompts] == [(1, 0), (2, 2)]
    np.testing.assert_array_equal(follower.prompts[1]["mask"], square(2, 2))
    # in frame 3 object 2 is away, and its empty mask is right
    assert [score.j.mean for score in result.scores] == [pytest.approx(10 / 12), 1]


def test_means_are_over_objects_not_over_clips(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=TWO, b=dict.fromkeys(range(6), (1,)))

    class Both:
        def open(self, source: object) -> object:
            clip = next(c for c in videos if c.name == source.name)  # type: ignore[attr-defined]
            wrong = dict.fromkeys(range(6), 2) if clip.name == "b" else {}
            return MovedTruth(clip, wrong).open(source)

    result = evaluate_vos(Both(), videos)  # type: ignore[arg-type]
    assert {n: m.j.mean for n, m in result.by_sequence().items()} == {
        "a": 1,
        "b": pytest.approx(1 / 3),
    }
    assert result.mean.j.mean == pytest.approx((1 + 1 + 1 / 3) / 3)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("box", [{"box": [0, 0, 4, 4]}]),
        ("click", [{"points": [[1, 1]], "labels": [1], "clear_old_points": True}]),
        (
            "3-clicks",
            [
                {"points": [[1, 1]], "labels": [1], "clear_old_points": True},
                {"points": [[0, 0]], "labels": [1], "clear_old_points": False},
            ],
        ),
    ],
)
def test_prompts(tmp_path: Path, prompt: str, expected: list[dict[str, object]]) -> None:
    videos = videos_of(tmp_path, a=dict.fromkeys(range(4), (1,)))
    follower = MovedTruth(videos[0], {0: 2})
    follower.clicks_needed = 2  # the first click leaves the mask two pixels too far right
    result = evaluate_vos(follower, videos, VosPlan(prompt=prompt))  # type: ignore[arg-type]
    assert follower.prompts == [{"id": 1, "frame": 0, **each} for each in expected]
    # a third click would have nothing to correct
    assert result.scores[0].clicks == {"box": 0, "click": 1, "3-clicks": 2}[prompt]


def test_offline_corrects_the_worst_frame_of_each_pass(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=dict.fromkeys(range(8), (1,)))
    follower = MovedTruth(videos[0], {2: 1, 4: 3, 5: 2, 7: 4})
    plan = VosPlan(protocol="offline", max_frames=4, clicks_per_frame=1)
    result = evaluate_vos(follower, videos, plan)
    assert [p["frame"] for p in follower.prompts] == [0, 7, 4, 5]
    assert follower.passes == 4
    (score,) = result.scores
    assert (score.shown, score.clicks, score.num_frames) == (4, 3, 8)
    assert score.j.mean == pytest.approx((7 + 12 / 20) / 8)
    assert result.followed == 4 * 8


def test_offline_ends_where_nothing_is_wrong(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=dict.fromkeys(range(5), (1,)))
    follower = MovedTruth(videos[0], {3: 2})
    result = evaluate_vos(follower, videos, VosPlan(protocol="offline"))
    assert (follower.passes, result.scores[0].shown) == (2, 2)
    assert result.mean.jf == 1


def test_online_stops_at_poor_frames_only(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=dict.fromkeys(range(8), (1,)))
    # moved by 0.5 of a pixel there is none; by 2 the IoU is 1/3, by 4 it is 0
    follower = MovedTruth(videos[0], {2: 2, 4: 4, 6: 2, 7: 2})
    result = evaluate_vos(
        follower, videos, VosPlan(protocol="online", max_frames=3, prompt="click")
    )
    assert [p["frame"] for p in follower.prompts] == [0, 2, 4]
    assert follower.passes == 1
    (score,) = result.scores
    assert (score.shown, score.clicks) == (3, 3)
    assert score.j.mean == pytest.approx((6 + 2 / 3) / 8)  # corrected frames count as corrected


def test_online_lets_good_frames_be(tmp_path: Path) -> None:
    def wide(number: int) -> np.ndarray:
        labels = np.zeros((16, 24), np.uint8)
        labels[:, : 16 + number] = 1
        return labels

    videos = videos_of(tmp_path, a=dict.fromkeys(range(4), (1,)))
    for number in range(4):
        save_palette(tmp_path / f"Annotations/480p/a/{number:05d}.png", wide(number))
    videos = load_videos(tmp_path, "val")
    follower = MovedTruth(videos[0], {2: 1})  # 17 of 19 pixels of a row
    evaluate_vos(follower, videos, VosPlan(protocol="online"))
    assert len(follower.prompts) == 1


@pytest.mark.parametrize("protocol", ["semi", "offline", "online"])
@pytest.mark.parametrize("prompt", ["mask", "click", "3-clicks", "box"])
def test_a_tracker_takes_part(tmp_path: Path, protocol: str, prompt: str) -> None:
    videos = videos_of(tmp_path, a=dict(list(LATE.items())[:4]))
    plan = VosPlan(prompt=prompt, protocol=protocol, max_frames=2)  # type: ignore[arg-type]
    result = evaluate_vos(make_tracker(), videos, plan)
    assert len(result.scores) == (1 if protocol == "semi" else 2)
    assert all(0 <= score.jf <= 1 for score in result.scores)
    assert result.followed == 4 * (2 if protocol == "offline" else 1)


def test_clips_that_cannot_be_scored_are_named(tmp_path: Path) -> None:
    one, empty = {0: (1,)}, dict.fromkeys(range(4), ())
    videos = videos_of(tmp_path, good=TWO, one=one, two={0: (1,), 1: (1,)}, empty=empty, torn=TWO)
    frame = tmp_path / "JPEGImages/480p/torn/00003"
    Image.new("RGB", (24, 16)).save(frame.with_suffix(".png"))
    data = bytearray(frame.with_suffix(".png").read_bytes())
    data[45] ^= 255
    frame.with_suffix(".png").write_bytes(data)
    frame.with_suffix(".jpg").unlink()
    videos = load_videos(tmp_path, "val")
    result = evaluate_vos(MovedTruth(videos[0]), videos)
    assert {score.sequence for score in result.scores} == {"good"}
    text = "\n".join(result.problems)
    assert "one: 1 frames, 1 annotated, of which none is to be scored; left out" in text
    assert "two: 2 frames, 2 annotated" in text
    assert "empty: no object in any mask" in text
    assert "torn: frame torn/00003.png: " in text
    assert len(result.problems) == 4
    with pytest.raises(InvalidValue, match=r"not one clip .*one: 1 frame"):
        evaluate_vos(MovedTruth(videos[1]), VideoSet(videos[1:2], "it", "davis"))


def test_clips_whose_masks_are_kept_back_are_named(tmp_path: Path) -> None:
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / name).mkdir()
    save_frames(tmp_path / "JPEGImages" / "a", range(4))
    save_masks(tmp_path / "Annotations" / "a", {0: (1,), 1: (2,), 2: (3,)})
    frames = {"frames": [f"{n:05d}" for n in range(4)]}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": {"a": {"objects": {"1": frames}}}}))
    videos = load_videos(tmp_path)
    with pytest.raises(InvalidValue, match=r"a: 1 frames .*meta\.json.* no mask"):
        evaluate_vos(MovedTruth(videos[0]), videos)


@pytest.mark.parametrize("protocol", ["semi", "online"])
def test_a_first_mask_alone_is_nothing_to_score_with(tmp_path: Path, protocol: str) -> None:
    videos_of(tmp_path, a=TWO)
    for number in range(1, 6):
        (tmp_path / f"Annotations/480p/a/{number:05d}.png").unlink()
    videos = load_videos(tmp_path)
    with pytest.raises(InvalidValue, match=r"a: 6 frames.* one .*annotated"):
        evaluate_vos(MovedTruth(videos[0]), videos, VosPlan(protocol=protocol))  # type: ignore[arg-type]


def test_a_mask_that_is_damaged_inside_does_not_count(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=dict.fromkeys(range(6), (1,)))
    path = tmp_path / "Annotations/480p/a/00002.png"
    Image.fromarray(np.full((16, 24, 3), (9, 8, 7), np.uint8)).save(path)
    videos = load_videos(tmp_path, "val")
    result = evaluate_vos(MovedTruth(videos[0]), videos)
    assert result.scores[0].num_frames == 3
    assert result.mean.jf == 1
    assert "a: mask 00002.png: its colours are no ids" in videos.problems[0]


def test_masks_made_elsewhere(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=TWO)
    results = tmp_path / "results"
    for number in range(1, 5):  # the first and the last are not scored, and need not be there
        save_palette(results / f"a/{number:05d}.png", np.roll(ids((1, 2), number), 2, 1))
    (results / "other").mkdir()
    result = evaluate_folder(results, videos)
    assert (result.model, result.seconds, len(result.scores)) == ("results", None, 2)
    assert result.mean.j.mean == pytest.approx(1 / 3)
    assert result.problems == (f"{results}: results of clips not asked for: 1 (other)",)


def test_masks_made_elsewhere_for_objects_that_overlap(tmp_path: Path) -> None:
    videos = load_videos(sav_images(tmp_path, range(9)), "val")
    truth = tmp_path / "sav_val" / "Annotations_6fps"
    result = evaluate_folder(truth, videos)  # as its own results are laid out
    assert [(score.object_id, score.num_frames, score.jf) for score in result.scores] == [
        (1, 1, 1),
        (2, 1, 1),
    ]
    (truth / "v" / "001" / "00004.png").unlink()
    videos = load_videos(sav_images(tmp_path / "again", range(9)), "val")
    with pytest.raises(
        InvalidValue, match=r"1 of its masks are wrong .*: v/001/00004\.png is miss"
    ):
        evaluate_folder(truth, videos)


def test_masks_made_elsewhere_that_are_wrong_are_counted(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=TWO, b=TWO)
    results = tmp_path / "results"
    for name in ("a", "b"):
        save_masks(results / name, dict.fromkeys(range(1, 5), (1, 2)))
    (results / "a/00001.png").unlink()
    save_palette(results / "a/00002.png", np.ones((3, 3), np.uint8))
    save_palette(results / "b/00003.png", np.full((16, 24), 7, np.uint8))
    (results / "b/00004.png").write_bytes(b"")
    with pytest.raises(InvalidValue) as caught:
        evaluate_folder(results, videos)
    assert str(caught.value) == (
        f"{results} cannot be scored: 4 of its masks are wrong (of 8 that are needed): "
        "a/00001.png is missing; a/00002.png: 3x3, but its frame is 24x16; "
        "b/00003.png has the ids 7, the clip 1, 2; …"
    )
    with pytest.raises(MissingFile, match=r"no folder .*nowhere"):
        evaluate_folder(tmp_path / "nowhere", videos)


def test_report(tmp_path: Path) -> None:
    videos = videos_of(tmp_path, a=TWO, b=LATE)
    good = evaluate_vos(MovedTruth(videos[0], {3: 2}), VideoSet(videos[:1], "set", "davis"))
    files = save_vos([good, good], tmp_path / "deep" / "out", ["a: gone"])
    assert [path.name for path in files] == ["vos.json", "vos.csv", "worst.png"]
    assert {path.name for path in (tmp_path / "deep/out").iterdir()} == {p.name for p in files}
    data = json.loads(files[0].read_text())
    assert data["problems"] == ["a: gone"]
    assert data["results"][0]["mean"]["jf"] == pytest.approx(good.mean.jf)
    assert data["results"][0]["objects"][1]["sequence"] == "a"
    with files[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sequence"], row["object"], row["frames"]) for row in rows[:2]] == [
        ("a", "1", "4"),
        ("a", "2", "4"),
    ]
    assert float(rows[0]["J"]) == pytest.approx(good.scores[0].j.mean, abs=1e-5)
    with Image.open(files[2]) as strip:
        assert strip.width > 800  # two panels beside each other
        pixels = np.asarray(strip.convert("RGB")).reshape(-1, 3)
    assert (pixels == 255).all(1).any()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValue, match="cannot make the folder"):
        save_vos([good], tmp_path / "file" / "out")


def test_plan_is_checked() -> None:
    with pytest.raises(InvalidValue, match="1 frame or more, got 0"):
        VosPlan(max_frames=0)


def test_scores_of_nothing_and_objects_never_found_are_said(tmp_path: Path) -> None:
    gone = {0: (1, 2), 1: (2,), 2: (2,), 3: (2,)}
    videos = videos_of(tmp_path, a=gone)
    right = evaluate_vos(MovedTruth(videos[0], {}), videos, name="it")
    assert right.mean.jf == 1
    [doubt] = right.doubts
    assert "1 of 2 objects are in no frame that counts" in str(doubt)
    assert "a (object 1)" in str(doubt)
    lost = evaluate_vos(Blind(videos[0]), videos, name="lost")
    assert "1 of 2 objects are never found" in str(lost.doubts[1])
    assert lost.to_dict()["doubts"] == [str(doubt) for doubt in lost.doubts]
    [beaten] = beaten_by(lost, [right])
    assert "lost is no better than it" in str(beaten)
    assert list(beaten_by(right, [lost])) == []
