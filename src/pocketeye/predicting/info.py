"""Describe a trained classifier in ``model.json``: what one must know of it to use it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import nn

from pocketeye.data.transforms.transforms import (
    CropMode,
    ImageTransform,
    Interpolation,
    TransformRecipe,
    build_transform,
    default_stats,
)
from pocketeye.models.task import CLASSIFY, Task
from pocketeye.models.weights.described import Description, Share, Spread, require_length
from pocketeye.reading import Channels, Classes, Pixels, Range

# A crop of a hundredth of the image is as good as none, and a network sees no more than all of it.
CropShare = Annotated[float, Range(0.01, 1.0)]


@dataclass(frozen=True, kw_only=True)
class ModelInfo(Description):
    """Hold name, shape and preprocessing of a classifier.

    Attributes:
        name: registered name, or the name of its architecture.
        classes: names in the order of the outputs.
        mean, std: of values 0 to 1, one per channel.
        crop_mode: ``center`` or ``warp``, see
            :class:`~pocketeye.data.transforms.transforms.TransformRecipe`.
        data: what it was trained on, as the user named it, and ``data_sha256``.
    """

    SCHEMA: ClassVar[str] = "pocketeye.model/1"
    WHAT: ClassVar[str] = "a run of a classifier"
    TASKS: ClassVar[tuple[Task, ...]] = (CLASSIFY,)

    name: str
    num_classes: Classes
    in_chans: Channels
    input_size: Pixels
    classes: tuple[str, ...]
    mean: tuple[Share, ...]
    std: tuple[Spread, ...]
    crop_pct: CropShare = 1.0
    interpolation: Interpolation = "bilinear"
    crop_mode: CropMode = "center"
    data: str = ""
    data_sha256: str = ""

    def require_sound(self) -> None:
        require_length("classes", self.classes, self.num_classes, "num_classes")
        for name in ("mean", "std"):
            require_length(name, getattr(self, name), self.in_chans, "in_chans")

    @classmethod
    def default(
        cls, name: str, classes: tuple[str, ...], in_chans: int, input_size: int
    ) -> ModelInfo:
        """Assume the usual preprocessing, where nothing is known."""
        mean, std = default_stats(in_chans)
        return cls(
            name=name,
            num_classes=len(classes),
            in_chans=in_chans,
            input_size=input_size,
            classes=classes,
            mean=mean,
            std=std,
        )

    def transform(self) -> ImageTransform:
        """Build the transform of evaluation."""
        recipe = TransformRecipe(
            crop_pct=self.crop_pct, interpolation=self.interpolation, crop_mode=self.crop_mode
        )
        return build_transform(False, self.input_size, self.in_chans, self.mean, self.std, recipe)


def input_stats(model: nn.Module, in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation, per channel, of the inputs (0 to 1) a network expects.

    They are those of its timm cfg, where that is for ``in_chans`` channels, and else the usual ones.
    """
    cfg: Any = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    mean, std = (tuple(cfg.get(key) or ()) for key in ("mean", "std"))
    usual = default_stats(in_chans)
    return mean if len(mean) == in_chans else usual[0], std if len(std) == in_chans else usual[1]
