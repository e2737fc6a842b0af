"""Open what segments images by a tracker's name, whatever computes."""

from __future__ import annotations

from pathlib import Path

from pocketeye.tracking.image.segmenter import ImageSegmenter
from pocketeye.tracking.video.tracker import (
    DeviceName,
    EngineName,
    exported_at,
    load_tracker,
    own_graphs,
)


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
    graphs = exported_at(model)
    if graphs is None and checkpoint is None:
        graphs = own_graphs(str(model), device, engine)
    if graphs is not None or engine == "onnxruntime":
        return ImageSegmenter(load_tracker(model, checkpoint, device=device, engine=engine).engine)
    from pocketeye.tracking.networks import open_model

    # The network itself and not its engine: many prompts are decoded as one batch.
    return ImageSegmenter(open_model(str(model), checkpoint=checkpoint, device=device))
