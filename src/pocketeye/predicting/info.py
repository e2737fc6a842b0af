"""``model.json``: what one must know of a trained network to use it elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pocketeye.data.transforms.transforms import (
    CropMode,
    ImageTransform,
    Interpolation,
    TransformRecipe,
    build_transform,
    default_stats,
)
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.runs import read_record, write_atomic

FILE = "model.json"
SCHEMA = "pocketeye.model/1"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Name, shape and preprocessing of a classifier.

    Attributes:
        name: registered name, or the name of its architecture.
        classes: names in the order of the outputs.
        mean, std: of values 0 to 1, one per channel.
        crop_mode: ``center`` or ``warp``, see
            :class:`~pocketeye.data.transforms.transforms.TransformRecipe`.
        data: what it was trained on, as the user named it, and ``data_sha256``.
    """

    name: str
    num_classes: int
    in_chans: int
    input_size: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float = 1.0
    interpolation: Interpolation = "bilinear"
    crop_mode: CropMode = "center"
    data: str = ""
    data_sha256: str = ""

    @classmethod
    def default(
        cls, name: str, classes: tuple[str, ...], in_chans: int, input_size: int
    ) -> ModelInfo:
        """Usual preprocessing, where nothing is known."""
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
        """The evaluation transform."""
        recipe = TransformRecipe(
            crop_pct=self.crop_pct, interpolation=self.interpolation, crop_mode=self.crop_mode
        )
        return build_transform(False, self.input_size, self.in_chans, self.mean, self.std, recipe)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    def save(self, folder: Path) -> Path:
        """Write ``folder/model.json``."""
        return write_atomic(folder / FILE, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> ModelInfo:
        """Read ``folder/model.json``.

        Raises:
            MissingFile: not there. InvalidValue: not one of ours.
        """
        path = folder / FILE
        if not path.is_file():
            raise MissingFile(f"{folder} does not say how to use its network: {FILE} is missing")
        try:
            return cls(**read_record(path, SCHEMA, ("classes", "mean", "std")))
        except (ValueError, TypeError) as error:
            raise InvalidValue(
                f"{path} is not a model description of pocketeye: {error}"
            ) from error


def input_stats(model: nn.Module, in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation, per channel, of the inputs (0 to 1) a network expects.

    They are those of its timm cfg, where that is for ``in_chans`` channels, and else the usual ones.
    """
    cfg: Any = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    mean, std = (tuple(cfg.get(key) or ()) for key in ("mean", "std"))
    usual = default_stats(in_chans)
    return mean if len(mean) == in_chans else usual[0], std if len(std) == in_chans else usual[1]
