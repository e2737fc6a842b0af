"""The last stage of the demo: a flower segmented and tracked by a click, against its known masks."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketeye import progress
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.results.figures import save_figure
from pocketeye.results.result import save_image
from pocketeye.tracking import ImageSegmenter, Tracker, load_tracker, open_writer
from pocketeye.tracking.open_model import DEFAULT
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.demo.clip import FlowerClip, KnownPhoto, flower_photo

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class TrackDemo(VerbResult):
    """How well clicks did, as IoU with the true masks: 1 is perfect, 0 beside it.

    Attributes:
        segment_iou: in the photograph, from one click.
        ious: in each frame of the clip, from a click in the first and one in frame ``again``; 1 where
            the flower is hidden and nothing was found.
        once_iou: mean from the first click alone.
        again: where the flower is back, and is clicked on once more.
        hidden: frames in which it is hidden.
        still_iou: mean of a mask that stays where the flower was in frame 0.
        ms_per_frame: of decoding and tracking.
        commands: that do the same.
    """

    model: str
    segment_iou: float
    ious: tuple[float, ...]
    hidden: tuple[int, ...]
    once_iou: float
    again: int
    still_iou: float
    ms_per_frame: float
    segment_png: Path
    track_mp4: Path
    track_png: Path
    commands: tuple[str, str]

    @property
    def mean_iou(self) -> float:
        """J of the clip, over all frames: two were only clicked on."""
        return sum(self.ious) / len(self.ious)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "segment_iou": round(self.segment_iou, 4),
            "track_iou": round(self.mean_iou, 4),
            "once_iou": round(self.once_iou, 4),
            "still_iou": round(self.still_iou, 4),
            "ious": [round(iou, 4) for iou in self.ious],
            "hidden": list(self.hidden),
            "ms_per_frame": round(self.ms_per_frame, 3),
            "files": self.written(),
        }

    def lines(self) -> list[str]:
        nowhere = sum(self.ious[frame] == 1 for frame in self.hidden)
        return [
            f"a photograph, one click: IoU {self.segment_iou:.3f} with the true mask",
            f"a clip, one click, and one more in frame {self.again}, where the flower is back: J (mean "
            f"IoU) {self.mean_iou:.3f} over {len(self.ious)} frames; without the second click "
            f"{self.once_iou:.3f}, a mask that stays {self.still_iou:.3f}",
            f"hidden in {len(self.hidden)} frames, rightly nowhere in {nowhere} of them; "
            f"{self.ms_per_frame:.0f} ms per frame",
        ]

    def written(self) -> list[Path]:
        return [self.track_mp4, self.segment_png, self.track_png]


def track_demo(out: Path, *, model: str = DEFAULT, checkpoint: Path | None = None) -> TrackDemo:
    """Segment a photograph by a click and track through a clip by two.

    Args:
        out: folder for the images, the clip, and the clip with the flower marked.
        model: a tracker.
        checkpoint: its weights, where they are not its own.

    Raises:
        UserError: no weights, weights that do not fit, or a file that cannot be written.
    """
    tracker = load_tracker(model, checkpoint)
    photo = flower_photo()
    photo_path = save_image(Image.fromarray(photo.image), out / "photo.png")
    segmented = _segment(tracker, photo)
    segment_png = segmented.save(out / "segment.png")
    clip, clip_path = FlowerClip(), out / "clip.mp4"
    truth = _write_clip(clip, clip_path)
    results, seconds = _track(tracker, clip, clip_path, (0, clip.back), out / "track.mp4")
    ious = _ious([mask for _, mask in results], truth)
    once, _ = _track(tracker, clip, clip_path, (0,), None)
    hidden = tuple(frame for frame, true in enumerate(truth) if not true.area)
    track_png = _draw([image for image, _ in results], ious, hidden, clip.back, out / "track.png")
    assert segmented.masks is not None
    options = f" --model {model}" + (f" --checkpoint {checkpoint}" if checkpoint else "")
    return TrackDemo(
        model=model,
        segment_iou=segmented.masks[0].iou(CompactMask.from_dense(photo.mask)),
        ious=ious,
        hidden=hidden,
        once_iou=float(np.mean(_ious([mask for _, mask in once], truth))),
        again=clip.back,
        still_iou=sum(truth[0].iou(true) for true in truth) / len(truth),
        ms_per_frame=1000 * seconds / len(truth),
        segment_png=segment_png,
        track_mp4=out / "track.mp4",
        track_png=track_png,
        commands=(
            _command("segment", photo_path, photo.point) + options,
            _command("track", clip_path, clip.point())
            + f" --object 1:{_comma(clip.point(clip.back))}@{clip.back}"
            + options,
        ),
    )


def _command(verb: str, path: Path, point: tuple[int, int]) -> str:
    return f"pocketeye {verb} {shlex.quote(str(path))} --point {_comma(point)}"


def _comma(point: tuple[int, int]) -> str:
    return f"{point[0]},{point[1]}"


def _ious(found: Sequence[CompactMask], truth: Sequence[CompactMask]) -> tuple[float, ...]:
    return tuple(mine.iou(true) for mine, true in zip(found, truth, strict=True))


def _segment(tracker: Tracker, photo: KnownPhoto) -> Result:
    segmenter = ImageSegmenter(tracker.model)
    segmenter.set_image(photo.image)
    return segmenter.predict(points=[photo.point])


def _write_clip(clip: FlowerClip, path: Path) -> list[CompactMask]:
    """Write the clip as it is; its true masks."""
    truth = []
    with open_writer(path, fps=clip.fps, overwrite=True) as writer:
        for frame, mask in clip:
            truth.append(CompactMask.from_dense(mask))
            nothing = Masks(size=clip.size, items=())
            writer.write(Result(size=clip.size, masks=nothing, image=frame))
    return truth


def _track(
    tracker: Tracker, clip: FlowerClip, path: Path, clicked: tuple[int, ...], out: Path | None
) -> tuple[list[tuple[np.ndarray, CompactMask]], float]:
    """Each frame with the flower marked, its mask, and the seconds spent on tracking.

    Args:
        clicked: frames in which the flower is clicked on.
        out: the clip with the flower marked, if it is to be written.
    """
    found, seconds, start = [], 0.0, time.perf_counter()
    with ExitStack() as stack:
        session = stack.enter_context(tracker.open(path))
        writer = out and stack.enter_context(open_writer(out, fps=clip.fps, overwrite=True))
        bar = stack.enter_context(progress.task("tracking", len(clip)))
        for frame in clicked:
            session.add(1, frame=frame, points=[clip.point(frame)])
        for result in session.run(0):
            seconds += time.perf_counter() - start
            if writer:
                writer.write(result)
            assert result.masks is not None
            found.append((result.overlay(text=False), result.masks[0]))
            bar.advance()
            start = time.perf_counter()
    return found, seconds


def _draw(
    images: Sequence[np.ndarray], ious: Sequence[float], hidden: Sequence[int], again: int,
    path: Path,
) -> Path:  # fmt: skip
    """Some frames above the IoU of all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, _SHOWN, height_ratios=(1, 1.1))
    shown = np.linspace(0, len(images) - 1, _SHOWN).round().astype(int)
    for column, frame in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(images[frame])
        axes.set_title(f"frame {frame}", fontsize=9)
        axes.axis("off")
    axes = figure.add_subplot(grid[1, :])
    axes.plot(ious, linewidth=1.5)
    if hidden:
        axes.axvspan(hidden[0] - 0.5, hidden[-1] + 0.5, color="0.88")
        axes.text((hidden[0] + hidden[-1]) / 2, 0.5, "hidden", ha="center", fontsize=9)
    axes.axvline(again, color="0.4", linewidth=1, linestyle=":")
    axes.text(again + 0.4, 0.08, "clicked again", fontsize=9)
    axes.set(xlabel="frame", ylabel="IoU", xlim=(0, len(ious) - 1), ylim=(0, 1.05))
    axes.grid(alpha=0.3)
    return save_figure(figure, path, 110)
