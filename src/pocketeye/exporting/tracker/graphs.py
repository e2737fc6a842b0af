"""Make the graphs of a tracker, and the manifest of what goes around them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from pocketeye.artifacts.tracker import (
    DECODE,
    IMAGE,
    PLACE,
    PROMPT,
    WRITE,
    TrackerManifest,
    reading_graph,
)
from pocketeye.errors import InvalidValue
from pocketeye.models import TAM
from pocketeye.models.tam.graphs import (
    DecodeGraph,
    ImageGraph,
    PlaceGraph,
    PromptGraph,
    ReadGraph,
    WriteGraph,
)
from pocketeye.models.tam.memory_attention import Pooling
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.tracking.engine.torch_engine import TorchEngine

# Eight prompted frames are an option's default, and 15 pointers are those of tracked frames
# (SAM 2's 16, which count the frame itself); 24 is the next multiple of 8.
_NUM_POINTERS = 24
_NUM_POINTS = 16  # more clicks on one object in one frame nobody gives; each costs a token
# Eight prompted frames and six tracked ones, the most that any rule reads.
_MOST_MAPS = 14


class TrackerGraph(Protocol):
    """Describe what all graphs of a tracker have."""

    @property
    def input_names(self) -> tuple[str, ...]: ...

    @property
    def output_names(self) -> tuple[str, ...]: ...

    def example(self) -> tuple[torch.Tensor, ...]: ...


def capacities(rule: MemoryRule, num_maskmem: int) -> tuple[int, ...]:
    """Return how many maps the reading graphs hold: computing on empty places takes time.

    A graph for the first frame, one on the way, those in which an object stays that was prompted
    once, one for a few corrections, and the largest.
    """
    if rule is MemoryRule.DISTINCT:  # three spaced frames, and up to two anchors
        return (1, 2, 4, 5, 6, 9, _MOST_MAPS)
    return (1, 4, num_maskmem, _MOST_MAPS)


def read_by_means(model: TAM) -> None:
    """Let the network read its memory as the published networks ``_1`` do: a quarter of the tokens.

    What 2x2 tokens hold is read by their mean, which counts as four, once there are two maps.

    Raises:
        InvalidValue: it does so already, or its map has an odd side.
    """
    attention = model.memory_attention
    if attention.pooling is not Pooling.NONE:
        raise InvalidValue(
            f"{model.variant} reads its memory by means already: leave --pool-memory out"
        )
    if any(side % 2 for side in attention.feat_size):
        raise InvalidValue(
            f"maps of {attention.feat_size[0]}x{attention.feat_size[1]} tokens have no means of 2x2: "
            "choose an --input-size that is a multiple of 32"
        )
    attention.pooling = Pooling.COUNTED_LOGITS


def tracker_graphs(model: TAM) -> dict[str, Any]:
    """Return the modules of all graphs by name, in eval mode; they share weights with ``model``."""
    made: dict[str, nn.Module] = {
        IMAGE: ImageGraph(model),
        PLACE: PlaceGraph(model),
        DECODE: DecodeGraph(model, 1),
        PROMPT: PromptGraph(model, _NUM_POINTS),
        WRITE: WriteGraph(model, 1),
    }
    for number in capacities(model.session_rule, model.num_maskmem):
        made[reading_graph(number)] = ReadGraph(model, number, 1, _NUM_POINTERS)
    return {name: module.eval() for name, module in made.items()}


def tracker_manifest(model: TAM, modules: dict[str, Any]) -> TrackerManifest:
    """Return the manifest of a tracker with these graphs."""
    target = model.target
    return TrackerManifest(
        variant=model.variant,
        fingerprint=TorchEngine(model, "cpu").fingerprint(),
        image_size=model.image_size,
        memory_rule=model.memory_rule.value,
        session_rule=model.session_rule.value,
        stability_delta=model.stability_delta,
        stability_threshold=model.stability_threshold,
        no_mem_embed=_numbers(model.no_mem_embed),
        no_obj_ptr=_numbers(model.no_obj_ptr),
        ages=tuple(_numbers(row) for row in model.maskmem_tpos_enc),
        mask_weight=tuple(_numbers(row) for row in model.mask_downsample.weight[0, 0]),
        mask_bias=_numbers(model.mask_downsample.bias)[0],
        prompted=None if target is None else float(target.prompted.detach().exp()),
        ridge=None if target is None else float(target.ridge.detach().exp()),
        capacities=capacities(model.session_rule, model.num_maskmem),
        num_pointers=_NUM_POINTERS,
        num_points=_NUM_POINTS,
        map_bytes=_map_bytes(model),
        graphs={name: _described(module) for name, module in modules.items()},
    )


def _described(graph: TrackerGraph) -> dict[str, Any]:
    example = zip(graph.input_names, graph.example(), strict=True)
    return {
        "inputs": list(graph.input_names),
        "outputs": list(graph.output_names),
        "shapes": {name: list(tensor.shape) for name, tensor in example},
    }


def _numbers(values: torch.Tensor | None) -> tuple[float, ...]:
    assert values is not None
    return tuple(float(value) for value in values.detach().flatten())


def _map_bytes(model: TAM) -> int:
    """Return the bytes of one object's map of one frame."""
    attention = model.memory_attention
    height, width = attention.feat_size
    tokens = height * width
    # A network that reads means keeps the whole map too: it may be the only one.
    kept = tokens if attention.pooling is Pooling.NONE else tokens + tokens // 4
    numbers = kept * (len(attention.layers) * attention.dim + attention.mem_dim)
    if model.matching is not None:
        numbers += tokens * model.matching.num_channels
    if model.target is not None:
        numbers += model.target.num_sums
    return 4 * numbers
