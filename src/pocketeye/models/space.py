"""Describe a search space as data: stages of layers, each layer with its legal candidate blocks.

The paper's space (FBNet, tables 1 and 2) is 22 layers with 9 candidates; a space of one's own is a
YAML file of the same schema::

    name: my-space
    input_size: 96
    stem: {chs: 16, stride: 2}
    stages:                      # chs, depth, stride of the first layer
      - {chs: 16, depth: 1, stride: 1}
      - {chs: 24, depth: 4, stride: 2}
    candidates: [k3_e1, k3_e6, k5_e6, skip]
    head: {chs: 1504}
    num_classes: 1000

``stem`` and ``head`` may have an ``act`` (relu6, hswish) and the stem ``same: true``, see
:mod:`pocketeye.models.ops`.

A stage may have ``candidates`` of its own in their place. A skip is legal only where the shape does
not change, so it is dropped elsewhere.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, cast

from pocketeye.errors import InvalidValue, require_range, unknown
from pocketeye.models.architecture import MOST_LAYERS, Architecture, BlockSpec, PlacedBlock
from pocketeye.models.ops import Act, AdditiveOp, InvertedResidualOp, StemOp, parse_op, style_of
from pocketeye.models.size import Size, normal, parse_size, reduced, sides, size_value
from pocketeye.reading import (
    Channels,
    Classes,
    Range,
    make,
    parse_yaml,
    read_yaml,
    reading,
    require_file,
)

# FBNet's table 2, in the paper's order: the columns of theta are written and read in it.
PAPER_CANDIDATES = (
    "k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip",
)  # fmt: skip
WIDTHS = 0.01, 100.0
"""The smallest and the largest multiplier of widths."""
Stride = Annotated[int, Range(1, 64)]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """Describe a run of layers of one width; ``stride`` belongs to the first of them.

    ``candidates`` replaces the candidates of the space in this stage.
    """

    chs: Channels
    depth: Annotated[int, Range(1, MOST_LAYERS)]
    stride: Stride = 1
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Describe a searched layer: where it stands and what may stand there."""

    in_chs: int
    out_chs: int
    stride: int
    size: Size
    candidates: tuple[str, ...]

    def spec(self, op: str) -> BlockSpec:
        """Return the candidate ``op`` with the shape it changes here."""
        return BlockSpec(op=op, in_chs=self.in_chs, out_chs=self.out_chs, stride=self.stride)

    def placed(self, op: str) -> PlacedBlock:
        """Return the candidate ``op`` at the size of the map it receives here."""
        return PlacedBlock(spec=self.spec(op), size=self.size)


def scale_chs(chs: int, width: float, divisor: int = 8) -> int:
    """Return ``chs`` times ``width``, rounded up to a multiple of ``divisor``.

    Rounding up reproduces the widths of the published FBNet-96-0.35 (8, 16, 16, 24, 40, 72, 128).
    """
    if width == 1.0:
        return chs
    return math.ceil(width * chs / divisor) * divisor


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """Describe a space: stem, searched stages and head; the module's text has the YAML form.

    ``width`` records the multiplier already applied to the widths.
    """

    name: str
    input_size: Size
    stages: tuple[StageSpec, ...]
    candidates: tuple[str, ...] = PAPER_CANDIDATES
    stem_chs: int = 16
    stem_stride: int = 2
    head_chs: int = 1984  # of FBNet-B and C
    in_chans: int = 3
    num_classes: int = 1000
    width: float = 1.0
    stem_op: str = "conv3"
    head_act: Act = "relu"
    positions: tuple[Position, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.stages:
            raise InvalidValue(f"space {self.name!r} has no stages")
        for number in ("input_size", "stem_chs", "stem_stride", "head_chs", "num_classes"):
            value = getattr(self, number)
            if (min(sides(value)) if number == "input_size" else value) < 1:
                raise InvalidValue(f"space {self.name!r}: {number} must be at least 1")
        object.__setattr__(self, "input_size", normal(self.input_size))
        object.__setattr__(self, "positions", self._positions())

    def _positions(self) -> tuple[Position, ...]:
        # The layers are laid out one by one: a forged depth must not fill the memory.
        if sum(stage.depth for stage in self.stages) > MOST_LAYERS:
            raise InvalidValue(f"space {self.name!r} has more than {MOST_LAYERS} layers")
        # The size of each map is fixed here: a latency belongs to a block at a size.
        size, in_chs = reduced(self.input_size, self.stem_stride), self.stem_chs
        positions = []
        for number, stage in enumerate(self.stages, 1):
            if min(stage.chs, stage.depth, stage.stride) < 1:
                raise InvalidValue(f"space {self.name!r}: stage {number} has a number below 1")
            for layer in range(stage.depth):
                stride = stage.stride if layer == 0 else 1
                legal = tuple(
                    op
                    for op in stage.candidates or self.candidates
                    if _legal(op, in_chs, stage.chs, stride)
                )
                # A layer without a candidate would make the space empty, silently.
                if not legal:
                    raise InvalidValue(
                        f"space {self.name!r}: no candidate fits layer {layer + 1} of stage "
                        f"{number} ({in_chs} to {stage.chs} channels, stride {stride})"
                    )
                positions.append(
                    Position(
                        in_chs=in_chs, out_chs=stage.chs, stride=stride, size=size, candidates=legal
                    )
                )
                size, in_chs = reduced(size, stride), stage.chs
        return tuple(positions)

    @property
    def num_layers(self) -> int:
        """Number of searched layers."""
        return len(self.positions)

    @property
    def ops(self) -> tuple[str, ...]:
        """Every candidate that is legal somewhere, in the order first named (columns of theta)."""
        # A dict and not a set: the order makes the columns of theta, in files too.
        seen = dict.fromkeys(self.candidates)
        for stage in self.stages:
            seen.update(dict.fromkeys(stage.candidates))
        used = {op for position in self.positions for op in position.candidates}
        return tuple(op for op in seen if op in used)

    def num_architectures(self) -> int:
        """Return the number of networks in the space."""
        return math.prod(len(position.candidates) for position in self.positions)

    def stem(self) -> BlockSpec:
        """Return the stem, which is not searched."""
        return BlockSpec(
            op=self.stem_op, in_chs=self.in_chans, out_chs=self.stem_chs, stride=self.stem_stride
        )

    def head(self) -> BlockSpec:
        """Return the head, which is not searched."""
        style = "" if self.head_act == "relu" else f"_{self.head_act}"
        return BlockSpec(
            op=f"head{self.head_chs}{style}", in_chs=self.stages[-1].chs, out_chs=self.num_classes
        )

    def architecture(self, choices: Sequence[str], name: str = "searched") -> Architecture:
        """Return the network that takes ``choices[l]`` at layer ``l``."""
        if len(choices) != self.num_layers:
            raise InvalidValue(
                f"space {self.name!r} has {self.num_layers} layers, got {len(choices)} choices"
            )
        for number, (position, op) in enumerate(zip(self.positions, choices, strict=True), 1):
            if op not in position.candidates:
                raise unknown(f"block at layer {number} of space {self.name!r}:", op,
                              position.candidates)  # fmt: skip
        return Architecture(
            name=name,
            input_size=self.input_size,
            stem=self.stem(),
            blocks=tuple(p.spec(op) for p, op in zip(self.positions, choices, strict=True)),
            head=self.head(),
        )

    def choices(self, architecture: Architecture) -> tuple[str, ...]:
        """Undo :meth:`architecture`."""
        return tuple(block.op for block in architecture.blocks)

    def sample(self, rng: random.Random, name: str = "random") -> Architecture:
        """Draw a network uniformly: each layer independently."""
        return self.architecture([rng.choice(p.candidates) for p in self.positions], name)

    def placed(self, with_head: bool = True) -> tuple[PlacedBlock, ...]:
        """Return every distinct block of the space at its resolution, with the stem and the head.

        Of the paper's 22 layers only twelve differ in shape: 102 blocks instead of 192.
        """
        first = PlacedBlock(spec=self.stem(), size=self.input_size)
        last = self.positions[-1]
        head = PlacedBlock(spec=self.head(), size=reduced(last.size, last.stride))
        blocks = [p.placed(op) for p in self.positions for op in p.candidates]
        return tuple(dict.fromkeys([first, *blocks, *([head] if with_head else [])]))

    def with_(
        self,
        *,
        input_size: Size | None = None,
        width: float | None = None,
        num_classes: int | None = None,
    ) -> SearchSpace:
        """Return the space at another resolution, width multiplier or number of classes.

        The head is widened only for multipliers above 1, as in the published small networks.
        """
        result = replace(
            self,
            input_size=input_size or self.input_size,
            num_classes=num_classes or self.num_classes,
        )
        if width is None or width == self.width:
            return result
        # Rounded widths cannot be scaled back.
        if self.width != 1.0:
            raise InvalidValue(f"space {self.name!r} is already scaled by {self.width}")
        require_range("width", width, *WIDTHS)  # not met by nan
        return replace(
            result,
            width=width,
            stem_chs=scale_chs(self.stem_chs, width),
            stages=tuple(replace(s, chs=scale_chs(s.chs, width)) for s in self.stages),
            # MobileNetV2's rule for its last layer.
            head_chs=scale_chs(self.head_chs, max(1.0, width)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the YAML form (widths as they are, the multiplier recorded)."""
        stem = asdict(cast(StemOp, parse_op(self.stem_op)))
        return {
            "name": self.name,
            "input_size": size_value(self.input_size),
            "in_chans": self.in_chans,
            "stem": {"chs": self.stem_chs, "stride": self.stem_stride} | _unusual(_Stem, stem),
            "stages": [
                {"chs": s.chs, "depth": s.depth, "stride": s.stride}
                | ({"candidates": list(s.candidates)} if s.candidates else {})
                for s in self.stages
            ],
            "candidates": list(self.candidates),
            "head": {"chs": self.head_chs} | _unusual(_Head, {"act": self.head_act}),
            "num_classes": self.num_classes,
            "width": self.width,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchSpace:
        """Undo :meth:`to_dict`.

        Raises:
            InvalidValue: a key that is unknown (with the nearest spelling) or missing, or a value of
                the wrong type or out of its range; the sentence names the field.
        """
        stored = make(_Stored, data)
        stem = StemOp(kernel=stored.stem.kernel, act=stored.stem.act, same=stored.stem.same)
        return cls(
            name=stored.name,
            input_size=parse_size(stored.input_size),
            in_chans=stored.in_chans,
            stages=stored.stages,
            candidates=stored.candidates,
            stem_chs=stored.stem.chs,
            stem_stride=stored.stem.stride,
            head_chs=stored.head.chs,
            num_classes=stored.num_classes,
            width=stored.width,
            stem_op=f"conv{stored.stem.kernel}{style_of(stem)}",
            head_act=stored.head.act,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stem:
    chs: Channels = 16
    stride: Stride = 2
    kernel: Annotated[int, Range(1, 15)] = 3
    act: Act = "relu"
    same: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    chs: Channels = 1984
    act: Act = "relu"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """The YAML form."""

    name: str
    input_size: int | str
    stages: tuple[StageSpec, ...]
    in_chans: Channels = 3
    candidates: tuple[str, ...] = PAPER_CANDIDATES
    stem: _Stem = _Stem()
    head: _Head = _Head()
    num_classes: Classes = 1000
    width: Annotated[float, Range(*WIDTHS)] = 1.0


def _unusual(form: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``values`` that a file has to say: others are the defaults of ``form``."""
    usual = {f.name: f.default for f in fields(form)}
    return {name: value for name, value in values.items() if value != usual[name]}


def _legal(op: str, in_chs: int, out_chs: int, stride: int) -> bool:
    parsed = parse_op(op)
    if isinstance(parsed, InvertedResidualOp):
        # The expanded width is a multiple of the input's, and so divisible as well.
        return all(chs % parsed.groups == 0 for chs in (in_chs, out_chs))
    if isinstance(parsed, AdditiveOp):
        return True  # CAS-ViT's convolution before it changes any shape
    # No skip where the shape changes: mobile_cv puts a strided 1x1 there, the paper has none.
    return op == "skip" and stride == 1 and in_chs == out_chs


def list_spaces() -> list[str]:
    """Return the names of the spaces that come with the package."""
    folder = resources.files("pocketeye") / "spaces"
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def load_space(name_or_path: str | Path) -> SearchSpace:
    """Load a space that comes with the package, by name, or one's own YAML file, by path.

    Raises:
        InvalidValue: unknown name (with the nearest spelling) or a file that is no space.
        MissingFile: a path that is not there.
    """
    text = str(name_or_path)
    # By the suffix: a folder may hold a file of the name of a bundled space.
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        require_file(path, f"no search space at {path}")
        data = read_yaml(path)
    elif text in list_spaces():
        path = Path(f"{text}.yaml")
        data = parse_yaml((resources.files("pocketeye") / "spaces" / path.name).read_text("utf-8"))
    else:
        raise unknown("search space", text, list_spaces())
    with reading(path, "a search space"):
        return SearchSpace.from_dict(data)
