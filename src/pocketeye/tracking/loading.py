"""Open what segments images by a tracker's name, whatever computes."""

from __future__ import annotations

from pathlib import Path

from pocketeye.tracking.image.segmenter import ImageSegmenter
from pocketeye.tracking.video.tracker import DeviceName, EngineName, load_tracker


def load_segmenter(
    model: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: DeviceName = "auto",
    engine: EngineName = "auto",
) -> ImageSegmenter:
    """Make a segmenter of a tracker.

    Args:
        model, checkpoint, device, engine: as of :func:`pocketeye.load_tracker`.

    Raises:
        MissingFile, InvalidValue, MissingExtra: as there.
    """
    return ImageSegmenter(load_tracker(model, checkpoint, device=device, engine=engine).engine)
