"""Run ``pocketeye predict`` with videos: what is in each frame, drawn, in tables, linked to tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pocketeye.devices import Device
from pocketeye.models.task import Task
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.predicting.files import save_csv
from pocketeye.predicting.predictor import Predictor
from pocketeye.predicting.video import ClassLook, Look, SeenFrames, look_for_objects
from pocketeye.text import counted
from pocketeye.tracking import open_video, open_writer, write_all
from pocketeye.tracking.batch.targets import require_free
from pocketeye.tracking.batch.videos import NamedVideo, find_videos, go_through
from pocketeye.tracking.io.write import FPS, opened
from pocketeye.tracking.linking import link_boxes
from pocketeye.verbs.predict.video_result import NOTHING, PredictedVideo, VideoPredictResult


def predict_videos(
    model: str,
    task: Task,
    named: Sequence[Any],
    *,
    classifier: Predictor | None,
    topk: int,
    smooth: int,
    score_threshold: float,
    out: Path | None,
    overwrite: bool,
    device: Device,
    threads: int,
) -> VideoPredictResult:
    """See :func:`pocketeye.verbs.predict.verb.predict`; ``classifier`` is open where it is one."""
    folder = out or Path("out") / "predict" / Path(model).resolve().name
    videos = find_videos(named)
    suffixes = (".mp4", ".csv", *([".txt"] if task.finds_objects else []))
    # All outputs are known before the first video is read.
    targets = {v.name: tuple(folder / f"{v.name}{suffix}" for suffix in suffixes) for v in videos}
    if not overwrite:
        require_free([path for paths in targets.values() for path in paths])
    dense = None
    if classifier is None:
        dense = open_dense_predictor(model, device=device, threads=threads)

    def watch(video: NamedVideo) -> PredictedVideo:
        look: Look
        if dense is None:
            assert classifier is not None
            look = ClassLook(classifier, topk=topk, smooth=smooth)
        else:
            look = look_for_objects(dense, score_threshold)
        return _predict(video, look, task, targets[video.name])

    done, failed = go_through(videos, watch)
    used = getattr(dense or classifier, "device", "cpu")  # artefacts run on the processor
    return VideoPredictResult(
        model=model, task=task, device=str(used), videos=tuple(done), failed=tuple(failed)
    )


def _predict(
    video: NamedVideo, look: Look, task: Task, targets: tuple[Path, ...]
) -> PredictedVideo:
    # a classifier's table has a row per frame, not per object
    drawn = [p for p in targets if not (isinstance(look, ClassLook) and p.suffix == ".csv")]
    with open_video(video.source) as frames:
        seen = SeenFrames(frames, look)
        fps = frames.fps or FPS
        makers = [partial(open_writer, path, fps=fps, overwrite=True) for path in drawn]
        tally = _Tally()
        with opened(makers) as writers:
            write_all(tally.of(link_boxes(seen) if task.finds_objects else seen), writers)
    if isinstance(look, ClassLook):
        save_csv(look.predictions, next(p for p in targets if p.suffix == ".csv"), "frame")
    return PredictedVideo(
        video=video.said, num_frames=seen.num_frames, seconds=seen.seconds,
        found=tally.text(task), files=targets,
    )  # fmt: skip


class _Tally:
    """Count classes on the way: tracks of each, or frames with each."""

    def __init__(self) -> None:
        self._seen: dict[str, set[int]] = {}

    def of(self, results: Iterable[Any]) -> Iterable[Any]:
        for frame, result in enumerate(results):
            for number, label in zip(result.ids, result.labels or (), strict=True):
                known = frame if result.frame is None else number
                self._seen.setdefault(label, set()).add(known)
            yield result

    def text(self, task: Task) -> str:
        most = sorted(self._seen.items(), key=lambda item: -len(item[1]))
        if task.finds_objects:
            return ", ".join(f"{len(ids)} {label}" for label, ids in most[:4]) or NOTHING
        return ", ".join(
            f"{label} in {counted(len(frames), 'frame')}" for label, frames in most[:3]
        )
