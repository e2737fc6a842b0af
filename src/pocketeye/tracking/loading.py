"""Open what segments images by a tracker's name, whatever computes."""

from __future__ import annotations

from pathlib import Path

from pocketeye.tracking.image.segmenter import ImageSegmenter
from pocketeye.tracking.video.tracker import DeviceName, exported_at, load_tracker


def load_segmenter(
    model: str | Path, checkpoint: str | Path | None = None, *, device: DeviceName = "auto"
) -> ImageSegmenter:
    """Make a segmenter of a tracker.

    Args:
        model, checkpoint, device: as of :func:`pocketeye.load_tracker`.

    Raises:
        MissingFile, InvalidValue, MissingExtra: as there.
    """
    if exported_at(model) is not None:
        return ImageSegmenter(load_tracker(model, checkpoint, device=device).engine)
    from pocketeye.tracking.networks import open_model

    return ImageSegmenter(open_model(str(model), checkpoint=checkpoint, device=device))
