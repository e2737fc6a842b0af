"""Describe a network as data: ``BlockSpec`` and ``Architecture``.

The same values are what the supernet samples, the latency table is keyed by, the builder consumes,
the exporter names and the report draws. Both are frozen, keyword-only, and round-trip through
``str`` and JSON.

Text form of a block: ``op:in>out/stride``, for example ``k5_e6:112>184/2``. Text form of a network:
``name@size=stem|block|…|head``.

Ops:

========================  ==========================================================================
``k{K}_e{E}[_g{G}]``      inverted residual: 1x1 (G groups) to E times the width, KxK depthwise,
                          1x1 (G groups); FBNet, table 2. With G > 1 the channels are shuffled
                          before the depthwise convolution
``…_nopw``                the same without the first 1x1 (E = 1 only), as in mobile_cv's weights
``add_e{R}``              CAS-ViT's additive attention block (paper, figure 3), R the MLP ratio; where
                          the shape changes, CAS-ViT's 3x3 convolution + BN stands before it
``skip``                  identity; needs stride 1 and equal widths
``conv{K}``               stem: KxK convolution, BN, ReLU
``head{W}``               1x1 convolution to W channels, BN, ReLU, global pooling, classifier;
                          ``out`` is the number of classes
========================  ==========================================================================
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.size import Size, normal, parse_size, reduced, sides, size_text, size_value

SCHEMA = "pocketeye.architecture/1"

_INVERTED = re.compile(r"k(?P<kernel>\d+)_e(?P<expansion>\d+)(_g(?P<groups>\d+))?(?P<nopw>_nopw)?")
_ADDITIVE = re.compile(r"add_e(?P<mlp_ratio>\d+)")
_STEM = re.compile(r"conv(?P<kernel>\d+)")  # matched in full: conv3 is no prefix of another op
_HEAD = re.compile(r"head(?P<width>\d+)")
_BLOCK = re.compile(r"(?P<op>[A-Za-z0-9_]+):(?P<in>\d+)>(?P<out>\d+)/(?P<stride>\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class InvertedResidualOp:
    """Hold the numbers behind ``k3_e6_g2``: kernel size, expansion ratio, groups of the 1x1s."""

    kernel: int
    expansion: int
    groups: int = 1
    first_pw: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class AdditiveOp:
    """Hold the number behind ``add_e4``: hidden width of the MLP over that of the block."""

    mlp_ratio: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SkipOp:
    """Stand for the identity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StemOp:
    """Stand for a full convolution with BN and ReLU."""

    kernel: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadOp:
    """Stand for a 1x1 convolution to ``width`` channels, pooling and classifier."""

    width: int


Op = InvertedResidualOp | AdditiveOp | SkipOp | StemOp | HeadOp


def parse_op(text: str) -> Op:
    """Read the name of an op.

    Raises:
        InvalidValue: the name fits no op, or its numbers contradict each other.
    """
    if text == "skip":
        return SkipOp()
    if match := _STEM.fullmatch(text):
        return StemOp(kernel=int(match["kernel"]))
    if match := _HEAD.fullmatch(text):
        return HeadOp(width=int(match["width"]))
    if match := _ADDITIVE.fullmatch(text):
        if int(match["mlp_ratio"]) < 1:
            raise InvalidValue(f"block {text!r}: the MLP ratio must be at least 1")
        return AdditiveOp(mlp_ratio=int(match["mlp_ratio"]))
    if match := _INVERTED.fullmatch(text):
        op = InvertedResidualOp(
            kernel=int(match["kernel"]),
            expansion=int(match["expansion"]),
            groups=int(match["groups"] or 1),
            first_pw=match["nopw"] is None,
        )
        if op.kernel % 2 == 0 or op.expansion < 1 or op.groups < 1:
            raise InvalidValue(f"block {text!r}: the kernel must be odd, expansion and groups >= 1")
        if not op.first_pw and op.expansion != 1:
            raise InvalidValue(f"block {text!r}: only an expansion of 1 can do without its 1x1")
        return op
    raise InvalidValue(
        f"unknown block {text!r}: blocks are named like k3_e6, k5_e1_g2 (kernel, expansion, "
        "groups), add_e4 (additive attention, MLP ratio) or skip"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSpec:
    """Describe one layer: its op and the shape it changes (channels in and out, stride)."""

    op: str
    in_chs: int
    out_chs: int
    stride: int = 1

    def __post_init__(self) -> None:
        op = parse_op(self.op)
        if min(self.in_chs, self.out_chs, self.stride) < 1:
            raise InvalidValue(f"block {self}: channels and stride must be at least 1")
        if isinstance(op, SkipOp) and not self.keeps_shape:
            raise InvalidValue(f"block {self}: a skip cannot change the shape")
        if isinstance(op, InvertedResidualOp):
            wide = self.in_chs * op.expansion
            if any(chs % op.groups for chs in (self.in_chs, wide, self.out_chs)):
                raise InvalidValue(
                    f"block {self}: channels are not divisible by {op.groups} groups"
                )

    def __str__(self) -> str:
        return f"{self.op}:{self.in_chs}>{self.out_chs}/{self.stride}"

    @classmethod
    def parse(cls, text: str) -> BlockSpec:
        """Undo ``str``."""
        match = _BLOCK.fullmatch(text.strip())
        if match is None:
            raise InvalidValue(f"block {text!r} is not of the form op:in>out/stride")
        return cls(
            op=match["op"],
            in_chs=int(match["in"]),
            out_chs=int(match["out"]),
            stride=int(match["stride"]),
        )

    @property
    def parsed(self) -> Op:
        return parse_op(self.op)

    @property
    def keeps_shape(self) -> bool:
        """Whether the output has the shape of the input: where a shortcut is possible."""
        return self.stride == 1 and self.in_chs == self.out_chs

    def out_size(self, size: Size) -> Size:
        """Return the sides of the output map for an input map of ``size`` (padding kernel // 2)."""
        return 1 if isinstance(self.parsed, HeadOp) else reduced(size, self.stride)  # a head pools


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedBlock:
    """Place a block at the size of the map it receives: what a latency table has one row for."""

    spec: BlockSpec
    size: Size

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", normal(self.size))  # (96, 96) and 96 must be one key

    def __str__(self) -> str:
        return f"{self.spec}@{size_text(self.size)}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of that map, (channels, height, width)."""
        return (self.spec.in_chs, *sides(self.size))

    @classmethod
    def parse(cls, text: str) -> PlacedBlock:
        """Undo ``str``."""
        spec, _, size = text.partition("@")
        form = f"placed block {text!r} is not of the form op:in>out/stride@size"
        return cls(spec=BlockSpec.parse(spec), size=_size(size, form))


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """Describe a chain: stem, blocks, head, at an input of ``input_size`` pixels.

    Raises:
        InvalidValue: two neighbours disagree on the number of channels, or an end is no stem/head.
    """

    name: str
    input_size: Size
    stem: BlockSpec
    blocks: tuple[BlockSpec, ...]
    head: BlockSpec

    def __post_init__(self) -> None:
        if not isinstance(self.stem.parsed, StemOp) or not isinstance(self.head.parsed, HeadOp):
            raise InvalidValue(
                f"architecture {self.name!r} must begin with conv* and end with head*"
            )
        if any(isinstance(b.parsed, StemOp | HeadOp) for b in self.blocks):
            raise InvalidValue(f"architecture {self.name!r} has a stem or a head in the middle")
        object.__setattr__(self, "input_size", normal(self.input_size))
        chain = self.layers
        for left, right in itertools.pairwise(chain):
            if left.out_chs != right.in_chs:
                raise InvalidValue(
                    f"architecture {self.name!r}: {left} is followed by {right}, "
                    f"which expects {right.in_chs} channels"
                )
        if min(sides(self.input_size)) < 1:
            raise InvalidValue(
                f"architecture {self.name!r}: input size {self.input_size} is not > 0"
            )

    @property
    def layers(self) -> tuple[BlockSpec, ...]:
        """Stem, blocks and head in order."""
        return (self.stem, *self.blocks, self.head)

    @property
    def side(self) -> int:
        """Side of a square input.

        Raises:
            InvalidValue: it is none, as of the backbone of a segmenter.
        """
        if not isinstance(self.input_size, int):
            raise InvalidValue(
                f"architecture {self.name!r} is for images of {size_text(self.input_size)}, and a "
                "classifier sees squares: give --input-size"
            )
        return self.input_size

    @property
    def in_chans(self) -> int:
        return self.stem.in_chs

    @property
    def num_classes(self) -> int:
        return self.head.out_chs

    def placed(self) -> tuple[PlacedBlock, ...]:
        """Return every layer with the size of the map it receives."""
        size, result = self.input_size, []
        for spec in self.layers:
            result.append(PlacedBlock(spec=spec, size=size))
            size = spec.out_size(size)
        return tuple(result)

    def stages(self) -> tuple[tuple[BlockSpec, ...], ...]:
        """Group blocks into stages; a stage begins where the width or the resolution changes."""
        groups: list[list[BlockSpec]] = []
        for spec in self.blocks:
            if not groups or not spec.keeps_shape:  # timm's stages, and so its names of weights
                groups.append([])
            groups[-1].append(spec)
        return tuple(tuple(group) for group in groups)

    def with_(
        self,
        *,
        name: str | None = None,
        input_size: Size | None = None,
        in_chans: int | None = None,
        num_classes: int | None = None,
    ) -> Architecture:
        """Return the same chain under another name or input size, or with other ends."""
        stem = self.stem if in_chans is None else replace(self.stem, in_chs=in_chans)
        head = self.head if num_classes is None else replace(self.head, out_chs=num_classes)
        return replace(
            self,
            name=name or self.name,
            input_size=input_size or self.input_size,
            stem=stem,
            head=head,
        )

    def without_first_pw(self) -> Architecture:
        """Return the form mobile_cv's weights have: no first 1x1 in blocks of expansion 1."""
        blocks = tuple(
            replace(b, op=f"{b.op}_nopw")
            if isinstance(b.parsed, InvertedResidualOp)
            and b.parsed.expansion == 1
            and b.parsed.first_pw
            else b
            for b in self.blocks
        )
        return replace(self, blocks=blocks)

    def __str__(self) -> str:
        return f"{self.name}@{size_text(self.input_size)}=" + "|".join(
            str(layer) for layer in self.layers
        )

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Undo ``str``."""
        title, _, chain = text.strip().partition("=")
        name, _, size = title.rpartition("@")  # from the right: a name may hold an @
        form = f"architecture {text[:60]!r} is not of the form name@size=stem|…|head"
        if not chain:
            raise InvalidValue(form)
        return cls._of(name, _size(size, form), chain.split("|"))

    @classmethod
    def _of(cls, name: str, input_size: Size, layers: Iterable[str]) -> Architecture:
        specs = [BlockSpec.parse(layer) for layer in layers]
        if len(specs) < 2:
            raise InvalidValue(f"architecture {name!r} needs at least a stem and a head")
        return cls(
            name=name,
            input_size=input_size,
            stem=specs[0],
            blocks=tuple(specs[1:-1]),
            head=specs[-1],
        )

    def to_json(self) -> str:
        """Return a small JSON document, readable by a person and by :meth:`from_json`."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "name": self.name,
                "input_size": size_value(self.input_size),
                "layers": [str(layer) for layer in self.layers],
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Undo :meth:`to_json`.

        Raises:
            InvalidValue: the text is not JSON, or not an architecture.
        """
        try:
            data: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidValue(f"the architecture is not JSON: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InvalidValue(f"this JSON is not an architecture (schema {SCHEMA!r} expected)")
        try:
            name, size, layers = data["name"], data["input_size"], data["layers"]
        except KeyError as error:
            raise InvalidValue(f"the architecture lacks the key {error}") from error
        if (
            not isinstance(name, str)
            or not isinstance(size, int | str)
            or not isinstance(layers, list)
            or not all(isinstance(layer, str) for layer in layers)
        ):
            raise InvalidValue(
                "an architecture has a text 'name', a size 'input_size' and a list of texts 'layers'"
            )
        return cls._of(name, parse_size(size), layers)

    def save(self, path: Path) -> Path:
        """Write :meth:`to_json` to ``path``."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read a file written by :meth:`save`."""
        if not path.is_file():
            raise MissingFile(f"no architecture file at {path}")
        return cls.from_json(path.read_text(encoding="utf-8"))


def _size(text: str, form: str) -> Size:
    """Return the size in ``text``; raise the sentence ``form`` where there is none."""
    try:
        size = parse_size(text)
    except InvalidValue:
        raise InvalidValue(form) from None
    if size_text(size) != text:  # one spelling of each size: the texts are keys of tables
        raise InvalidValue(form)
    return size


def is_architecture(path: Path) -> bool:
    """Tell whether a file begins as :meth:`Architecture.save` writes it."""
    try:
        with path.open(encoding="utf-8") as file:
            return SCHEMA in file.read(200)  # the schema is the first key
    except (OSError, UnicodeDecodeError):
        return False
