"""Describe a network as data: ``BlockSpec`` and ``Architecture``.

The same values are what the supernet samples, the latency table is keyed by, the builder consumes,
the exporter names and the report draws. Both are frozen, keyword-only, and round-trip through
``str`` and JSON.

Text form of a block: ``op:in>out/stride``, for example ``k5_e6:112>184/2``. Text form of a network:
``name@size=stem|block|…|head``.

Ops are those of :mod:`pocketeye.models.ops`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pocketeye.errors import InvalidValue
from pocketeye.models.ops import (
    AdditiveOp,
    HeadOp,
    InvertedResidualOp,
    Op,
    SkipOp,
    StemOp,
    parse_op,
)
from pocketeye.models.size import Size, normal, parse_size, reduced, sides, size_text, size_value
from pocketeye.reading import Kind, make, parse_json, reading, require_file
from pocketeye.runs import write_atomic

SCHEMA = "pocketeye.architecture/1"
MOST_LAYERS = 1000
"""A file with more is damaged or a trap: the deepest networks in use have some hundred."""
MOST_WEIGHTS = 1 << 30
"""Of one block. More is a digit too many, and would be taken for an order to fill the memory."""

_BLOCK = re.compile(
    r"(?P<op>[A-Za-z0-9_]+):(?P<in>\d{1,6})>(?P<out>\d{1,7})/(?P<stride>\d{1,3})", re.ASCII
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
        inside = {InvertedResidualOp: "expansion", AdditiveOp: "mlp_ratio", HeadOp: "width"}
        wide = getattr(op, inside.get(type(op), ""), 1)
        if self.in_chs * wide + (self.in_chs + wide) * self.out_chs > MOST_WEIGHTS:
            raise InvalidValue(f"block {self} has more than {MOST_WEIGHTS:,} weights")
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
        specs = [BlockSpec.parse(layer) for layer in itertools.islice(layers, MOST_LAYERS + 1)]
        if not 2 <= len(specs) <= MOST_LAYERS:
            count = (
                "at least a stem and a head" if len(specs) < 2 else f"at most {MOST_LAYERS} layers"
            )
            raise InvalidValue(f"architecture {name[:60]!r} needs {count}")
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
            data = parse_json(text)
        except ValueError as error:
            raise InvalidValue(f"the architecture is not JSON: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InvalidValue(f"this JSON is not an architecture (schema {SCHEMA!r} expected)")
        return cls._stored({key: value for key, value in data.items() if key != "schema"})

    @classmethod
    def _stored(cls, data: dict[str, object]) -> Architecture:
        stored = make(_Stored, data)
        return cls._of(stored.name, parse_size(stored.input_size), stored.layers)

    def save(self, path: Path) -> Path:
        """Write :meth:`to_json` to ``path``; raise InvalidValue where that is not possible."""
        return write_atomic(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read a file written by :meth:`save`.

        Raises:
            MissingFile: nothing there. InvalidValue: no architecture; the sentence names the file.
        """
        require_file(path, f"no architecture file at {path}")
        data = _FILE.read(path)
        with reading(path, _FILE.what):
            return cls._stored(data)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """What the file holds beside its schema."""

    name: str
    input_size: int | str
    layers: tuple[str, ...]


_FILE = Kind(what="an architecture", schema=SCHEMA)


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
