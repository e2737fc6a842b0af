"""pocketeye: measure a device, search a network for it, train, export, prove it; segment and track.

Importing registers our backbones with timm. The verbs are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pocketeye.models import Architecture as Architecture
from pocketeye.models import BlockSpec as BlockSpec
from pocketeye.models import SearchSpace as SearchSpace
from pocketeye.models import create_detector as create_detector
from pocketeye.models import create_model as create_model
from pocketeye.models import create_semantic as create_semantic
from pocketeye.models import list_models as list_models
from pocketeye.models import load_checkpoint as load_checkpoint
from pocketeye.models import load_space as load_space

if TYPE_CHECKING:
    from pocketeye.tracking import ImageSegmenter as ImageSegmenter
    from pocketeye.tracking import MaskGenerator as MaskGenerator
    from pocketeye.tracking import load_tracker as load_tracker
    from pocketeye.verbs.bench import bench as bench
    from pocketeye.verbs.demo.verb import demo as demo
    from pocketeye.verbs.doctor import doctor as doctor
    from pocketeye.verbs.evaluate.verb import evaluate as evaluate
    from pocketeye.verbs.export import export as export
    from pocketeye.verbs.info.verb import info as info
    from pocketeye.verbs.measure import measure as measure
    from pocketeye.verbs.predict.verb import predict as predict
    from pocketeye.verbs.search import search as search
    from pocketeye.verbs.segment import segment as segment
    from pocketeye.verbs.track import track as track
    from pocketeye.verbs.train import train_classifier as train_classifier
    from pocketeye.verbs.train import train_detector as train_detector
    from pocketeye.verbs.train import train_instance_segmenter as train_instance_segmenter
    from pocketeye.verbs.train import train_segment_anything as train_segment_anything
    from pocketeye.verbs.train import train_segmenter as train_segmenter
    from pocketeye.verbs.train import train_tracker as train_tracker

__version__ = "0.1.0"

_VERBS = ("bench", "demo", "doctor", "evaluate", "export", "info", "measure", "predict", "search",
          "segment", "track")  # fmt: skip
_TRAININGS = ("train_classifier", "train_detector", "train_instance_segmenter",
              "train_segment_anything", "train_segmenter", "train_tracker")  # fmt: skip
_TRACKING = ("ImageSegmenter", "MaskGenerator", "load_tracker")


def __getattr__(name: str) -> Any:
    # Verbs import lightning, onnx and matplotlib, and tracking PyAV; `import pocketeye` must not.
    if name in _VERBS:
        return getattr(import_module(f"pocketeye.verbs.{name}"), name)
    if name in _TRAININGS:
        return getattr(import_module("pocketeye.verbs.train"), name)
    if name in _TRACKING:
        return getattr(import_module("pocketeye.tracking"), name)
    raise AttributeError(f"module 'pocketeye' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_VERBS, *_TRAININGS, *_TRACKING})
