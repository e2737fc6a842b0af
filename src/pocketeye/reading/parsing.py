"""Parse JSON, YAML and CSV of anyone: bounded in size, depth and what aliases unfold to.

The parsers of Python raise a dozen kinds of exceptions for odd texts, and a YAML of a few hundred bytes
can stand for billions of values. Here everything that is wrong with a text is a :class:`ValueError`
whose words complete "it is damaged (…)", or an ``InvalidValue`` that names the file.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml

from pocketeye.errors import InvalidValue
from pocketeye.reading.files import MOST_TEXT_BYTES, read_text

MOST_YAML_BYTES = 4 << 20
"""A list of 20,000 class names has 500 kB."""
MOST_DEPTH = 64
"""Mappings and lists inside each other; the deepest file of ours has 6, of ``.pt2`` about 20."""
MOST_VALUES = 1_000_000
"""Values of a YAML with all aliases written out; what follows walks through them one by one."""
_MOST_CELLS = 4096  # columns of a CSV; ours have a few dozen
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_AS_WRITTEN: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
# What PyYAML lets through from the constructors of odd scalars, such as `!!int ""` and `2024-13-45`.
_RAISED = (
    yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: no JSON, nested too deep, or a number of too many digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}") from None


def parse_yaml(text: str, *, as_written: bool = False) -> Any:
    """Parse YAML of plain values (PyYAML's ``safe_load``) within the limits of this module.

    Args:
        as_written: all single values stay text. YAML takes ``no``, ``on`` and ``off`` for truth values,
            ``1e3`` for a number and ``2024-01-01`` for a date; where names are expected they are names.

    Raises:
        ValueError: no YAML, larger or deeper than the limits, or with aliases that unfold beyond them.
    """
    # Size first: everything after this costs time.
    if len(text) > MOST_YAML_BYTES:
        raise ValueError(f"it is larger than {MOST_YAML_BYTES >> 20} MiB")
    try:
        # Before values are made: aliases unfold only then.
        _require_bounded(text)
        return yaml.load(text, Loader=_AS_WRITTEN if as_written else _LOADER)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except _RAISED as error:
        said = str(error) if isinstance(error, ValueError) else ""
        raise ValueError(said or "it has a value that its tag does not fit") from error


def _require_bounded(text: str) -> None:
    """Walk through the events, which cost no more than the text is long, and add up what they mean."""
    sizes: dict[str, int] = {}  # values below each anchor that is complete
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the count where it began
    count = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_nodes}:
                raise ValueError(f"the alias *{event.anchor} stands inside itself")
            count += sizes.get(str(event.anchor), 0)  # an unknown one is the parser's to refuse
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
            if len(open_nodes) > MOST_DEPTH:
                raise ValueError(f"it is nested deeper than {MOST_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = count - before
        if count > MOST_VALUES:
            raise ValueError(
                f"with its aliases written out it has more than {MOST_VALUES:,} values"
            )


def read_json(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> Any:
    """Read a JSON file.

    Raises:
        MissingFile: nothing there. InvalidValue: damaged, or beyond the limits.
    """
    text = read_text(path, most_bytes)
    try:
        return parse_json(text)
    except ValueError as error:
        raise InvalidValue(f"{path} is damaged, or no JSON: {error}") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file; None for an empty one.

    Raises:
        MissingFile: nothing there. InvalidValue: no YAML, or beyond the limits.
    """
    text = read_text(path)
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise InvalidValue(f"{path} is not YAML: {error}") from error


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file by the names of their columns.

    Raises:
        MissingFile: nothing there.
        InvalidValue: a row of another length than the header, or a column twice; the line is named.
    """
    lines = csv.reader(read_text(path).splitlines(), strict=True)
    try:
        header = next(lines, [])
        if len(set(header)) < len(header) or len(header) > _MOST_CELLS:
            # Rows would be joined to the wrong names.
            raise InvalidValue(f"{path} is damaged: its first line names a column twice")
        rows = []
        for row in lines:
            if len(row) != len(header):
                raise InvalidValue(
                    f"{path} is damaged: line {lines.line_num} has {len(row)} cells, and the first "
                    f"line has {len(header)}"
                )
            rows.append(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise InvalidValue(f"{path} is damaged at line {lines.line_num}: {error}") from error
    return rows
