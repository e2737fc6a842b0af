"""Run the last stage of the demo: a flower tracked by a click, against its known masks."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketeye import progress
from pocketeye.data.clips.flower import FlowerClip, KnownPhoto, flower_photo
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.results.figures import save_figure
from pocketeye.results.result import save_image
from pocketeye.tracking import ImageSegmenter, Tracker, load_tracker, open_writer
from pocketeye.tracking.engine.base import Engine
from pocketeye.tracking.loading import load_segmenter
from pocketeye.verb_result import VerbResult

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class TrackDemo(VerbResult):
    """Hold how well clicks did, as overlap (IoU) with the true masks: 1 is perfect, 0 beside it.

    Attributes:
        segment_iou: in the photograph, from one click.
        ious: in each frame of the clip, from a click in the first.
        still_iou: mean of a mask that stays where the flower was in frame 0.
        ms_per_frame: of decoding and tracking.
        commands: that do the same.
    """

    model: str
    segment_iou: float
    ious: tuple[float, ...]
    still_iou: float
    ms_per_frame: float
    segment_png: Path
    track_mp4: Path
    track_png: Path
    commands: tuple[str, str]

    @property
    def mean_iou(self) -> float:
        """Return the mean over all frames, the one that was clicked on among them."""
        return sum(self.ious) / len(self.ious)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "segment_iou": round(self.segment_iou, 4),
            "track_iou": round(self.mean_iou, 4),
            "still_iou": round(self.still_iou, 4),
            "ious": [round(iou, 4) for iou in self.ious],
            "ms_per_frame": round(self.ms_per_frame, 3),
            "files": self.written(),
        }

    def lines(self) -> list[str]:
        return [
            f"a photograph, one click: overlap {self.segment_iou:.2f} with the true mask (1 is perfect)",
            f"a clip, one click in its first frame: overlap {self.mean_iou:.2f} on average over "
            f"{len(self.ious)} frames, {min(self.ious):.2f} in the worst (a mask that stays where the "
            f"flower was: {self.still_iou:.2f})",
            f"{self.ms_per_frame:.0f} ms per frame on this machine",
        ]

    def written(self) -> list[Path]:
        return [self.track_mp4, self.segment_png, self.track_png]


def track_demo(
    out: Path, *, model: str = DEFAULT_TRACKER, checkpoint: Path | None = None
) -> TrackDemo:
    """Segment a photograph by a click, and track through a clip by one in its first frame.

    Args:
        out: folder for the images, the clip, and the clip with the flower marked.
        model: a tracker.
        checkpoint: its weights, where they are not its own.

    Raises:
        UserError: no weights, weights that do not fit, or a file that cannot be written.
    """
    tracker = load_tracker(model, checkpoint)
    photo = flower_photo()
    # Written, so that the command in the report can be repeated.
    photo_path = save_image(Image.fromarray(photo.image), out / "photo.png")
    segmented = _segment(load_segmenter(model, checkpoint), photo)
    segment_png = segmented.save(out / "segment.png")
    clip, clip_path = FlowerClip(), out / "clip.mp4"
    truth = _write_clip(clip, clip_path)
    results, seconds = _track(tracker, clip, clip_path, out / "track.mp4")
    ious = _ious([mask for _, mask in results], truth)
    track_png = _draw([image for image, _ in results], ious, out / "track.png")
    assert segmented.masks is not None
    options = f" --model {model}" + (f" --checkpoint {checkpoint}" if checkpoint else "")
    return TrackDemo(
        model=model,
        segment_iou=segmented.masks[0].iou(CompactMask.from_dense(photo.mask)),
        ious=ious,
        # The level to beat: whoever does nothing reaches this.
        still_iou=sum(truth[0].iou(true) for true in truth) / len(truth),
        ms_per_frame=1000 * seconds / len(truth),
        segment_png=segment_png,
        track_mp4=out / "track.mp4",
        track_png=track_png,
        commands=(
            _command("segment", photo_path, photo.point) + options,
            _command("track", clip_path, clip.point()) + options,
        ),
    )


def _command(verb: str, path: Path, point: tuple[int, int]) -> str:
    return f"pocketeye {verb} {shlex.quote(str(path))} --point {point[0]},{point[1]}"


def _ious(found: Sequence[CompactMask], truth: Sequence[CompactMask]) -> tuple[float, ...]:
    return tuple(mine.iou(true) for mine, true in zip(found, truth, strict=True))


def _segment(segmenter: ImageSegmenter, photo: KnownPhoto) -> Result:
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
    tracker: Tracker[Engine], clip: FlowerClip, path: Path, out: Path
) -> tuple[list[tuple[np.ndarray, CompactMask]], float]:
    """Give each frame with the flower marked, its mask, and the seconds spent on tracking.

    Args:
        out: the clip with the flower marked, which is written.
    """
    found, seconds, start = [], 0.0, time.perf_counter()
    with (
        tracker.open(path) as session,
        open_writer(out, fps=clip.fps, overwrite=True) as writer,
        progress.task("tracking", len(clip)) as bar,
    ):
        session.add(1, frame=0, points=[clip.point()])
        for result in session.run(0):
            # Without writing: the time of tracking is stated.
            seconds += time.perf_counter() - start
            writer.write(result)
            assert result.masks is not None
            found.append((result.overlay(text=False), result.masks[0]))
            bar.advance()
            start = time.perf_counter()
    return found, seconds


def _draw(images: Sequence[np.ndarray], ious: Sequence[float], path: Path) -> Path:
    """Draw some frames above the overlap in all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, _SHOWN, height_ratios=(1, 1.1))
    # Spread over the clip, the first and the last among them.
    shown = np.linspace(0, len(images) - 1, _SHOWN).round().astype(int)
    for column, frame in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(images[frame])
        axes.set_title(f"frame {frame}", fontsize=9)
        axes.axis("off")
    axes = figure.add_subplot(grid[1, :])
    axes.plot(ious, linewidth=1.5)
    axes.set(xlabel="frame", ylabel="overlap (IoU)", xlim=(0, len(ious) - 1), ylim=(0, 1.05))
    axes.grid(alpha=0.3)
    return save_figure(figure, path, 110)
