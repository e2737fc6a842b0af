"""Damage to files as hypothesis draws it."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings, strategies as st

from pocketeye.data.files.decode import UnreadableImage
from pocketeye.errors import UserError

# The same tries in every run; few, as there are thirty kinds of files. The slow tests try more.
LIGHT = settings(
    max_examples=20, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
DEEP = settings(LIGHT, max_examples=100)
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 1.5, -0.5, 1e308, 2**63, 10**30, math.nan, math.inf, -math.inf, "",
    "x", "nan", "no", "\ud800", "a\0b", "../../outside.png",
    "/dev/zero", "1" * 300, "9" * 400, [], {}, [None],
    [[[]]], {"a": None}, [1, 2, 3], {"schema": "x"}, 1e-320,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to every value inside another."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from places(item, (*path, key))


def parent_of(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    return tree


@st.composite
def damaged_tree(draw: st.DrawFn, content: Any) -> str:
    """Draw the content with one value replaced, deleted, renamed, repeated or taken from elsewhere."""
    tree = json.loads(json.dumps(content))
    paths = list(places(tree))
    path = draw(st.sampled_from(paths))
    parent, key = parent_of(tree, path), path[-1]
    match draw(st.sampled_from(["odd", "odd", "delete", "rename", "swap", "wrap"])):
        case "odd":
            parent[key] = draw(st.sampled_from(ODD))
        case "delete":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[draw(st.sampled_from(["x", "", "names", "schema ", "\ud800"]))] = parent.pop(key)
        case "swap":
            other = draw(st.sampled_from(paths))
            parent[key] = copy.deepcopy(parent_of(tree, other)[other[-1]])
        case _:
            parent[key] = [parent[key]]
    return json.dumps(tree)


@st.composite
def damaged_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw the bytes cut short, with a bit flipped, or with others in between."""
    at = draw(st.integers(0, len(data) - 1))
    match draw(st.sampled_from(["cut", "flip", "insert", "digits"])):
        case "cut":
            return data[:at]
        case "flip":
            return data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        case "insert":
            return data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[at:]
        case _:
            digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()] or [at]
            at = draw(st.sampled_from(digits))
            more = draw(st.sampled_from([b"9" * 30, b"-", b".", b"e999", b"nan", b"0x"]))
            return data[:at] + more + data[at:]


def refusal(reader: Callable[[Path], object], path: Path) -> str | None:
    """Return the sentence with which a reader refuses a file; None where it reads it."""
    try:
        reader(path)
    except (UserError, UnreadableImage) as error:
        return str(error)
    return None
