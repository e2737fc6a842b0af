"""Watch videos: frames from anywhere, masks of objects through time, files of the results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketeye.data.video.frames import Frames as Frames
    from pocketeye.tracking.engine.base import Engine as Engine
    from pocketeye.tracking.engine.torch_engine import TorchEngine as TorchEngine
    from pocketeye.tracking.evaluation.evaluate import (
        VosPlan as VosPlan,
        evaluate_folder as evaluate_folder,
        evaluate_vos as evaluate_vos,
    )
    from pocketeye.tracking.evaluation.report import save_vos as save_vos
    from pocketeye.tracking.evaluation.vos_models import open_vos_model as open_vos_model
    from pocketeye.tracking.image.components import (
        fill_holes as fill_holes,
        remove_specks as remove_specks,
    )
    from pocketeye.tracking.image.everything import MaskGenerator as MaskGenerator
    from pocketeye.tracking.image.segmenter import (
        ImageSegmenter as ImageSegmenter,
        Segmentation as Segmentation,
    )
    from pocketeye.tracking.io.source import open_video as open_video
    from pocketeye.tracking.io.write import open_writer as open_writer, write_all as write_all
    from pocketeye.tracking.linking import link_boxes as link_boxes
    from pocketeye.tracking.loading import load_segmenter as load_segmenter
    from pocketeye.tracking.networks import open_model as open_model
    from pocketeye.tracking.video.options import Options as Options
    from pocketeye.tracking.video.session import Session as Session
    from pocketeye.tracking.video.tracked import TrackedFrame as TrackedFrame
    from pocketeye.tracking.video.tracker import Tracker as Tracker, load_tracker as load_tracker

_HELD = {
    "data.video.frames": ("Frames",),
    "tracking.engine.base": ("Engine",),
    "tracking.engine.torch_engine": ("TorchEngine",),
    "tracking.evaluation.evaluate": ("VosPlan", "evaluate_folder", "evaluate_vos"),
    "tracking.evaluation.report": ("save_vos",),
    "tracking.evaluation.vos_models": ("open_vos_model",),
    "tracking.image.components": ("fill_holes", "remove_specks"),
    "tracking.image.everything": ("MaskGenerator",),
    "tracking.image.segmenter": ("ImageSegmenter", "Segmentation"),
    "tracking.io.source": ("open_video",),
    "tracking.io.write": ("open_writer", "write_all"),
    "tracking.linking": ("link_boxes",),
    "tracking.loading": ("load_segmenter",),
    "tracking.networks": ("open_model",),
    "tracking.video.options": ("Options",),
    "tracking.video.session": ("Session",),
    "tracking.video.tracked": ("TrackedFrame",),
    "tracking.video.tracker": ("Tracker", "load_tracker"),
}
_PLACES = {name: place for place, names in _HELD.items() for name in names}


def __getattr__(name: str) -> Any:
    # An exported tracker runs without torch, and starts in a moment only if nothing imports it.
    if name not in _PLACES:
        raise AttributeError(f"module 'pocketeye.tracking' has no attribute {name!r}")
    return getattr(import_module(f"pocketeye.{_PLACES[name]}"), name)
