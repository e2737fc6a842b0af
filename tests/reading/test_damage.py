"""Whatever is done to a file, its readers read it or refuse it in one sentence; nothing else."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketeye.data.files.decode import UnreadableImage
from pocketeye.errors import UserError
from tests.reading.samples import SAMPLES, Sample

# The same tries in every run; few, as there are thirty kinds of files.
LIGHT = settings(
    max_examples=30, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 1.5, -0.5, 1e308, 2**63, 10**30, math.nan, math.inf, -math.inf, "", "x",
    "nan", "no", "\ud800", "a\0b", "../../outside.png", "/dev/zero", "1" * 300, "9" * 400, [], {}, [None],
    [[[]]], {"a": None}, [1, 2, 3], {"schema": "x"}, 1e-320,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to every value inside another."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, dict | list) else ():
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
def damaged_bytes(draw: st.DrawFn, text: str) -> bytes:
    """Draw the bytes cut short, with a bit flipped, or with others in between."""
    data = text.encode()
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


def read(sample: Sample, folder: Path, content: bytes) -> None:
    """Let every reader have the file; a refusal is one sentence, any other exception fails the test."""
    path = folder / sample.file
    path.write_bytes(content)
    for reader in sample.readers:
        try:
            reader(path)
        except (UserError, UnreadableImage) as error:
            assert str(error).strip(), "a sentence"
            assert "\n" not in str(error), f"one line: {error}"
        path.write_bytes(content)  # one of the readers writes


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind, with what its readers need beside the file."""
    found = {name: tmp_path_factory.mktemp("damage") for name in SAMPLES}
    for name, folder in found.items():
        SAMPLES[name].beside(folder)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sound_file_is_read(name: str, folders: dict[str, Path]) -> None:
    sample = SAMPLES[name]
    (folders[name] / sample.file).write_text(sample.text)
    for reader in sample.readers:
        if "RunFolder.open" not in reader.__code__.co_names:
            _try(reader, folders[name] / sample.file)


def _try(reader: Any, path: Path) -> None:
    try:
        reader(path)
    except UserError as error:
        # Resuming another run is refused, whatever its file.
        assert "cannot resume" in str(error), error


@pytest.mark.parametrize("name", [n for n, s in SAMPLES.items() if not isinstance(s.content, str)])
def test_a_damaged_value_is_one_sentence(name: str, folders: dict[str, Path]) -> None:
    sample = SAMPLES[name]

    @LIGHT
    @given(damaged_tree(sample.content))
    def check(text: str) -> None:
        read(sample, folders[name], text.encode())

    check()


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_bytes_are_one_sentence(name: str, folders: dict[str, Path]) -> None:
    sample = SAMPLES[name]

    @LIGHT
    @given(damaged_bytes(sample.text))
    def check(content: bytes) -> None:
        read(sample, folders[name], content)

    check()
