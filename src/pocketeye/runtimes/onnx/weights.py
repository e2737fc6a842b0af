"""Store the weights of ONNX graphs in half the bytes, and those of several graphs once.

The graphs of a tracker read the same weights: seven that differ in the size of the memory alone would
hold them seven times. ONNX Runtime refuses files of weights outside of a model's own folder, so they
are handed to it when a session is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from pocketeye.errors import InvalidValue
from pocketeye.runtimes.base import Artifact
from pocketeye.runtimes.onnx.shared import SHARED, shared_weights

_SMALLEST = 1024
"""Bytes below which a constant stays in its graph: shapes and scales, which optimisers look at."""
ALIGNED = 64
"""Bytes that each tensor's place is a multiple of: a cache line, as vector instructions like to read."""
_HALF = "_half"


def halve(model: onnx.ModelProto) -> int:
    """Store large float32 constants as float16, and return how many.

    A ``Cast`` behind each makes them float32 again when the graph is loaded: arithmetic and speed stay.
    Constants beyond the range of float16 stay as they are.
    """
    graph, halved = model.graph, 0
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.nbytes < _SMALLEST or not np.abs(values).max() <= np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + _HALF))
        casts.append(helper.make_node("Cast", [name + _HALF], [name], to=TensorProto.FLOAT,
                                      name=f"{name}_to_float"))  # fmt: skip
        halved += 1
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return halved


def share(paths: Sequence[Path], file: Path) -> list[dict[str, Any]]:
    """Move the large constants of several graphs into one file, equal ones once.

    Args:
        paths: of the graphs, which are written anew.
        file: of the weights, which is written.

    Returns:
        Of each graph the place, dtype and shape of each constant, as plain values.

    Raises:
        OSError: a file cannot be written.
    """
    places: dict[str, int] = {}
    tables: list[dict[str, Any]] = []
    with file.open("wb") as out:
        for path in paths:
            model = onnx.load(path)
            table: dict[str, Any] = {}
            for tensor, values in large_constants(model):
                data = np.ascontiguousarray(values).tobytes()
                digest = hashlib.sha256(data).hexdigest()
                if digest not in places:
                    out.write(b"\0" * (-out.tell() % ALIGNED))
                    places[digest] = out.tell()
                    out.write(data)
                table[tensor.name] = [places[digest], values.dtype.name, list(values.shape)]
                point_at(tensor, file.name, places[digest], len(data))
            path.write_bytes(model.SerializeToString())
            tables.append(table)
    return tables


def whole_model(artifact: Artifact) -> onnx.ModelProto:
    """Return the graph of an artefact with its weights inside, wherever they are stored.

    Raises:
        InvalidValue: the graph, or the common file of its weights, is missing or damaged.
    """
    said = artifact.extra.get(SHARED)
    try:
        model = onnx.load(artifact.path, load_external_data=not said)
    except (OSError, DecodeError) as error:
        raise InvalidValue(f"{artifact.path} cannot be read ({error}): export it again") from error
    if not said:
        return model
    weights = shared_weights(artifact.folder, said)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return model


def large_constants(model: onnx.ModelProto) -> Iterator[tuple[TensorProto, np.ndarray]]:
    """Yield the constants that are worth a place in a file of weights, with their values."""
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.nbytes >= _SMALLEST and values.dtype.kind in "fiu":
            yield tensor, values


def point_at(tensor: TensorProto, file: str, offset: int, length: int) -> None:
    """Say that the values of a tensor lie in a file, ``length`` bytes from ``offset`` on."""
    for name in ("raw_data", "float_data", "int32_data", "int64_data"):
        tensor.ClearField(name)
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", file), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
