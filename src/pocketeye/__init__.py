"""pocketeye: measure a device, search a network for it, train, export, prove it; segment and track.

Everything is loaded when it is first used, so importing costs nothing. Once timm is imported, before or
after, it knows our backbones too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pocketeye.arguments import accepting
from pocketeye.models._timm import register_with_timm

if TYPE_CHECKING:
    from pocketeye.models import (
        Architecture as Architecture,
        BlockSpec as BlockSpec,
        SearchSpace as SearchSpace,
        create_detector as create_detector,
        create_model as create_model,
        create_semantic as create_semantic,
        list_models as list_models,
        load_checkpoint as load_checkpoint,
        load_space as load_space,
    )
    from pocketeye.tracking import (
        ImageSegmenter as ImageSegmenter,
        MaskGenerator as MaskGenerator,
        load_tracker as load_tracker,
    )
    from pocketeye.verbs.bench import bench as bench
    from pocketeye.verbs.demo.verb import demo as demo
    from pocketeye.verbs.doctor import doctor as doctor
    from pocketeye.verbs.evaluate.verb import evaluate as evaluate
    from pocketeye.verbs.export import export as export
    from pocketeye.verbs.info import info as info
    from pocketeye.verbs.measure import measure as measure
    from pocketeye.verbs.predict.verb import predict as predict
    from pocketeye.verbs.profile import profile as profile
    from pocketeye.verbs.search import search as search
    from pocketeye.verbs.segment import segment as segment
    from pocketeye.verbs.track import track as track
    from pocketeye.verbs.train import (
        train_classifier as train_classifier,
        train_detector as train_detector,
        train_instance_segmenter as train_instance_segmenter,
        train_segment_anything as train_segment_anything,
        train_segmenter as train_segmenter,
        train_tracker as train_tracker,
    )

__version__ = "0.1.0"

_PLACES = {
    "Architecture": "models.architecture", "BlockSpec": "models.architecture",
    "SearchSpace": "models.space", "load_space": "models.space",
    "create_detector": "models", "create_model": "models", "create_semantic": "models",
    "list_models": "models", "load_checkpoint": "models",
    "ImageSegmenter": "tracking", "MaskGenerator": "tracking", "load_tracker": "tracking",
    "bench": "verbs.bench", "demo": "verbs.demo", "doctor": "verbs.doctor",
    "evaluate": "verbs.evaluate", "export": "verbs.export", "info": "verbs.info",
    "measure": "verbs.measure", "predict": "verbs.predict", "profile": "verbs.profile",
    "search": "verbs.search", "segment": "verbs.segment", "track": "verbs.track",
    "train_classifier": "verbs.train", "train_detector": "verbs.train",
    "train_instance_segmenter": "verbs.train", "train_segment_anything": "verbs.train",
    "train_segmenter": "verbs.train", "train_tracker": "verbs.train",
}  # fmt: skip

__all__ = [
    "Architecture",
    "BlockSpec",
    "ImageSegmenter",
    "MaskGenerator",
    "SearchSpace",
    "__version__",
    "bench",
    "create_detector",
    "create_model",
    "create_semantic",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "info",
    "list_models",
    "load_checkpoint",
    "load_space",
    "load_tracker",
    "measure",
    "predict",
    "profile",
    "search",
    "segment",
    "track",
    "train_classifier",
    "train_detector",
    "train_instance_segmenter",
    "train_segment_anything",
    "train_segmenter",
    "train_tracker",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'pocketeye' has no attribute {name!r}")
    found = getattr(import_module(f"pocketeye.{_PLACES[name]}"), name)
    if _PLACES[name].startswith("verbs."):
        found = accepting(found)
    globals()[name] = found  # found once; the next time Python does not ask
    return found


def __dir__() -> list[str]:
    return list(__all__)


register_with_timm()
