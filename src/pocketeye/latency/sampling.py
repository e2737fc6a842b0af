"""Draw random networks, spread over the latency range of a space or uniformly."""

from __future__ import annotations

import math
import random

from pocketeye.models.architecture import Architecture
from pocketeye.models.ops import AdditiveOp, InvertedResidualOp, parse_op
from pocketeye.models.space import Position, SearchSpace

# At full tilt the cheapest candidate is exp(2.5), about 12 times as likely as the dearest.
_STRENGTH = 2.5


def work(op: str, position: Position) -> float:
    """Estimate multiply-accumulates per output pixel and input channel: enough to put candidates in
    order."""
    parsed = parse_op(op)
    if isinstance(parsed, AdditiveOp):
        # Per channel: 1x1s to q, k, v, two of local perception, the MLP; five depthwise 3x3s.
        # The whole work is divided by the input's channels, as that of the other blocks is counted.
        width, downsample = position.out_chs, not position.spec(op).keeps_shape
        block = width * (5 + 2 * parsed.mlp_ratio) + 5 * 9
        return width * (block / position.in_chs + 9 * downsample)
    if not isinstance(parsed, InvertedResidualOp):
        return 0.0
    pointwise = (position.in_chs + position.out_chs) / parsed.groups
    # Two 1x1s and a depthwise convolution, per channel of the input.
    return parsed.expansion * (pointwise + parsed.kernel**2)


def tilted(space: SearchSpace, tilt: float, rng: random.Random, name: str) -> Architecture:
    """Draw a random network that leans to cheap (``tilt`` -1) or to dear (+1) blocks; 0 is uniform."""
    choices = []
    for position in space.positions:
        costs = [work(op, position) for op in position.candidates]
        top = max(costs) or 1.0
        # Relative to the dearest candidate of this layer: every layer leans as much.
        weights = [math.exp(_STRENGTH * tilt * cost / top) for cost in costs]
        choices.append(rng.choices(position.candidates, weights)[0])
    return space.architecture(choices, name)


def spread(space: SearchSpace, num: int, seed: int, label: str = "net") -> list[Architecture]:
    """Draw ``num`` different networks from cheap to dear (fewer where the space has fewer)."""
    rng = random.Random(f"pocketeye/{label}/{seed}")
    # A small space may have fewer networks than asked for.
    num = min(num, space.num_architectures())
    found: dict[tuple[str, ...], Architecture] = {}
    for attempt in range(num * 200):
        if len(found) == num:
            break
        index = len(found)
        # Attempts that only meet known networks drift towards the uniform draw.
        tilt = (2 * index / max(1, num - 1) - 1) * 0.99 ** (attempt - index)
        network = tilted(space, tilt, rng, f"{label}{index}")
        found.setdefault(space.choices(network), network)
    return list(found.values())


def uniform(space: SearchSpace, num: int, seed: int, label: str = "net") -> list[Architecture]:
    """Draw ``num`` different networks uniformly (fewer where the space has fewer)."""
    rng = random.Random(f"pocketeye/{label}/{seed}")
    num = min(num, space.num_architectures())
    found: dict[tuple[str, ...], Architecture] = {}
    for _ in range(num * 200):
        if len(found) == num:
            break
        network = space.sample(rng, f"{label}{len(found)}")
        found.setdefault(space.choices(network), network)
    return list(found.values())
