"""Write the card of a detector or segmenter: of a run, also of one that comes along."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape

from pocketeye.cards.text import wrapped
from pocketeye.models import RawProposals, RawRetinaNet, RawSemantic, count
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.mask_rcnn import MaskRCNN
from pocketeye.models.dense.retinanet import RetinaNet
from pocketeye.models.weights.bundled import BundledCard, bundled_card
from pocketeye.runs import RESULT, read_json
from pocketeye.text import human_count, human_percent, human_seconds
from pocketeye.verb_result import Information

# Photographs are mostly this wide.
_ASPECT = 4 / 3


@dataclass(frozen=True, kw_only=True)
class DenseInfo(Information):
    """Say what a detector or segmenter is.

    Attributes:
        macs: for an image of ``size`` (height, width); of Mask R-CNN without its two heads.
        trained: what ``result.json`` says; empty until a training is finished.
    """

    model: str
    description: DenseDescription
    params: int
    macs: int
    size: tuple[int, int]
    trained: dict[str, Any]
    bundled: BundledCard | None

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "description": self.description.to_dict(),
                "bundled": asdict(self.bundled) if self.bundled else None}  # fmt: skip

    def lines(self) -> list[str]:
        said = self.description
        first = f"[bold]{said.network}[/bold] with {escape(said.backbone)}: {said.task.answers}"
        names = ", ".join(said.classes[:8]) + (", …" if said.num_classes > 8 else "")
        height, width = self.size
        # They run once for each object, of which there may be any number.
        heads = " (without the heads on crops)" if said.task.outlines_objects else ""
        rows = [
            ("params", f"{human_count(self.params)} ({self.params:,})"),
            ("MACs", f"{human_count(self.macs)} for an image of 3×{height}×{width}{heads}"),
            ("image", f"shorter side {said.min_size}, longer one {said.max_size} at most"),
            ("classes", f"{said.num_classes}: {names}"),
            ("trained on", said.data or "unknown"),
            ("result", self._result()),
            *(self.bundled.rows() if self.bundled else ()),
        ]
        return [first, "", *(line for label, text in rows for line in wrapped(text, label, 12))]

    def next_commands(self) -> list[str]:
        model = shlex.quote(self.model)
        return [f"pocketeye predict {model} IMAGE", f"pocketeye export {model}"]

    def _result(self) -> str:
        if not self.trained:
            return "the training is not finished, or the folder does not say"
        found = self.trained
        return (
            f"{found['metric']} {human_percent(found['value'])} on {found['num_val']} images, epoch "
            f"{found['best_epoch']} of {found['epochs']}, {human_seconds(found['seconds'])}"
        )


def dense_info(model: str, folder: Path) -> DenseInfo:
    """Describe the run in ``folder``; ``model`` is what the user called it.

    Raises:
        InvalidValue: a damaged description.
    """
    described = DenseDescription.load(folder)
    size = (described.min_size, round(described.min_size * _ASPECT))
    with torch.device("meta"):  # shapes are all that counting needs
        network = described.make().eval()
        raw: Any
        if isinstance(network, RetinaNet):
            raw = RawRetinaNet(network)
        else:
            raw = RawProposals(network) if isinstance(network, MaskRCNN) else RawSemantic(network)
        macs = count(raw.eval(), (3, *size)).macs
    path = folder / RESULT
    return DenseInfo(
        model=model,
        description=described,
        params=sum(p.numel() for p in network.parameters()),
        macs=macs,
        size=size,
        trained=_result_in(path) if path.is_file() else {},
        bundled=bundled_card(folder),
    )


def _result_in(path: Path) -> dict[str, Any]:
    """Read what a finished training came to."""
    return read_json(
        path, metric=str, value=float, num_val=int, best_epoch=int, epochs=int, seconds=float
    )
