"""Mask R-CNN of three exported graphs, in numpy alone: proposals, crops, boxes, masks.

The companion of :class:`pocketeye.models.dense.raw_heads.RawProposals`, ``RawBoxHead`` and
``RawMaskHead``: what torchvision does between and behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pocketeye.artifacts.detection_numpy import (
    Detections,
    anchor_sides,
    batched_nms,
    clip,
    decode,
    grid_centres,
    nms,
    per_anchor,
)
from pocketeye.artifacts.roi_numpy import paste, pyramid_crops

# A graph: arrays in, arrays out (:class:`pocketeye.runtimes.Executable` is one).
Graph = Callable[..., Sequence[np.ndarray]]
# Deltas of the second stage are learnt divided by these: (0.1, 0.1, 0.2, 0.2).
_DELTA_STDS = np.asarray([0.1, 0.1, 0.2, 0.2], np.float32)
# Sides in pixels below which torchvision drops a proposal and a box.
_MIN_PROPOSAL, _MIN_BOX = 1e-3, 1e-2
# Sides of the crops that the two heads take.
BOX_SIDE, MASK_SIDE = 7, 14


class Instances(NamedTuple):
    """Add ``masks (N, H, W)`` to :class:`Detections`: the probability of a pixel to belong to it."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True, kw_only=True)
class MaskRCNNDecoder:
    """Run the three graphs of a Mask R-CNN and return instances, one image at a time.

    Args:
        num_classes: without background.
        strides: pixels between cells, per level; crops are taken from all but the last.
        sizes: of the anchors, square roots of areas in pixels, per level.
        aspect_ratios: height over width.
        score_thresh: what is not above is left out.
        nms_thresh: IoU with a better box of its class above which a box is left out.
        proposal_nms_thresh: the same for proposals, per level.
        num_proposals: at most, per level before NMS and in all after it.
        detections_per_img: at most.
    """

    num_classes: int
    strides: Sequence[int]
    sizes: Sequence[Sequence[float]]
    aspect_ratios: Sequence[float]
    score_thresh: float = 0.05
    nms_thresh: float = 0.5
    proposal_nms_thresh: float = 0.7
    num_proposals: int = 1000
    detections_per_img: int = 100

    def __call__(
        self,
        image: np.ndarray,
        image_graph: Graph,
        box_head: Graph,
        mask_head: Graph,
        crops_per_run: tuple[int, int],
        image_size: tuple[int, int],
        original_size: tuple[int, int],
    ) -> Instances:
        """Run the graphs.

        Args:
            image: ``(1, 3, H, W)``, prepared (:func:`pocketeye.artifacts.semantic_numpy.prepare`).
            crops_per_run: of ``box_head`` and of ``mask_head``: their static batch.
            image_size: height and width of the image in ``image``, without padding.
            original_size: of the image before it was resized: boxes and masks are of that size.
        """
        maps, proposals = self.first_stage(image, image_graph, image_size)
        found = self.second_stage(maps, proposals, box_head, crops_per_run[0], image_size)
        crops = pyramid_crops(maps, self.strides, found.boxes, MASK_SIDE)
        (mask_logits,) = _in_batches(mask_head, crops, crops_per_run[1], 1)
        # The mask of the class that was found; 0 is the background.
        own = mask_logits[np.arange(len(found.labels)), found.labels + 1]
        scale = np.asarray(original_size, np.float64) / np.asarray(image_size, np.float64)
        boxes = found.boxes * np.tile(scale[::-1], 2).astype(np.float32)
        masks = paste(1 / (1 + np.exp(-own)), boxes, original_size)
        return Instances(boxes, found.scores, found.labels, masks)

    def first_stage(
        self, image: np.ndarray, image_graph: Graph, image_size: tuple[int, int]
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the maps ``(C, h, w)`` to crop from, and the proposals ``(N, 4)``, best first."""
        levels = len(self.strides)
        outputs = [output[0] for output in image_graph(image)]
        proposals = self.proposals(outputs[levels - 1 : -levels], outputs[-levels:], image_size)
        return outputs[: levels - 1], proposals

    def second_stage(
        self, maps: Sequence[np.ndarray], proposals: np.ndarray, box_head: Graph, crops_per_run: int,
        image_size: tuple[int, int],
    ) -> Detections:  # fmt: skip
        """Return what is found in the proposals, in pixels of the network's input."""
        crops = pyramid_crops(maps, self.strides, proposals, BOX_SIDE)
        logits, deltas = _in_batches(box_head, crops, crops_per_run, 2)
        return self.detections(proposals, logits, deltas, image_size)

    def proposals(
        self, objects: Sequence[np.ndarray], boxes: Sequence[np.ndarray], size: tuple[int, int]
    ) -> np.ndarray:
        """Return boxes ``(N, 4)`` of one image, best first, from the maps of all levels."""
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        for number, stride in enumerate(self.strides):
            logits = per_anchor(objects[number], 1).ravel()
            best = np.argsort(-logits, kind="stable")[: self.num_proposals]
            sides = anchor_sides(self.sizes[number], self.aspect_ratios)
            cell, anchor = best // len(sides), best % len(sides)
            centres = grid_centres(cell, objects[number].shape[-1], stride)
            corners = decode(per_anchor(boxes[number], 4)[best], centres, sides[anchor])
            corners = clip(corners, size)
            # torchvision drops slivers before NMS.
            whole = _not_smaller(corners, _MIN_PROPOSAL)
            corners, logits = corners[whole], logits[best][whole]
            kept = nms(corners, logits, self.proposal_nms_thresh)
            parts.append((corners[kept], logits[kept]))
        corners, logits = (np.concatenate(column) for column in zip(*parts, strict=True))
        return corners[np.argsort(-logits, kind="stable")[: self.num_proposals]]

    def detections(
        self,
        proposals: np.ndarray,
        logits: np.ndarray,
        deltas: np.ndarray,
        size: tuple[int, int],
    ) -> Detections:
        """Return detections from what the box head says of the proposals."""
        # Less the largest: exp would overflow.
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        # The background is no object.
        scores = (odds / odds.sum(axis=1, keepdims=True))[:, 1:]
        row, label = np.nonzero(scores > self.score_thresh)
        own = deltas.reshape(*logits.shape, 4)[row, label + 1] * _DELTA_STDS
        low, high = proposals[row, :2], proposals[row, 2:]
        boxes = clip(decode(own, (low + high) / 2, high - low), size)
        whole = _not_smaller(boxes, _MIN_BOX)
        found = Detections(boxes[whole], scores[row, label][whole], label[whole])
        keep = batched_nms(*found, self.nms_thresh)[: self.detections_per_img]
        return Detections(*(column[keep] for column in found))


def _not_smaller(boxes: np.ndarray, side: float) -> np.ndarray:
    return ((boxes[:, 2:] - boxes[:, :2]) >= side).all(axis=1)


def _in_batches(graph: Graph, crops: np.ndarray, batch: int, outputs: int) -> list[np.ndarray]:
    """Run the graph on any number of crops, ``batch`` at a time, the last ones filled up."""
    # Once at least, so that shapes are known without a crop.
    rows = [crops[start : start + batch] for start in range(0, max(len(crops), 1), batch)]
    parts: list[list[np.ndarray]] = [[] for _ in range(outputs)]
    for row in rows:
        filled = np.zeros((batch, *crops.shape[1:]), np.float32)
        filled[: len(row)] = row
        for part, values in zip(parts, graph(filled), strict=True):
            part.append(values[: len(row)])
    return [np.concatenate(part) for part in parts]
