"""Pack the graphs of a page: shared weights once, and in half precision where that is exact.

What the browser unpacks is bit for bit what the artefact holds, so nothing is lost but bytes on the way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.runtimes.base import Artifact
from pocketeye.runtimes.onnx.shared import WEIGHTS
from pocketeye.runtimes.onnx.weights import ALIGNED, large_constants, point_at, whole_model

GRAPHS = "graphs.json"


@dataclass(slots=True)
class _Weights:
    """Gather tensors by content.

    Attributes:
        parts: of each, its ``offset`` and ``size`` in the unpacked bytes, and ``half`` where it is
            packed in half precision.
    """

    packed: bytearray = field(default_factory=bytearray)
    parts: list[dict[str, Any]] = field(default_factory=list)
    known: dict[bytes, int] = field(default_factory=dict)
    size: int = 0

    def add(self, array: np.ndarray) -> int:
        """Return the offset of a tensor in the unpacked bytes."""
        data = array.tobytes()
        key = hashlib.sha256(data).digest()
        if key not in self.known:
            half = _as_half(array)
            self.packed += data if half is None else half.tobytes()
            self.parts.append({"offset": self.size, "size": len(data), "half": half is not None})
            self.known[key] = self.size
            self.size += -(-len(data) // ALIGNED) * ALIGNED
        return self.known[key]


def _as_half(array: np.ndarray) -> np.ndarray | None:
    """Return the array in half precision where that is exact, else None."""
    if array.dtype != np.float32:
        return None
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), array) else None


def pack_graphs(artifacts: Mapping[str, Artifact], folder: Path) -> list[str]:
    """Write graphs for a page into ``folder`` and return the names of the files.

    Args:
        artifacts: for ONNX Runtime, by the names that the page calls their graphs.

    Raises:
        InvalidValue: a graph, or the common weights of graphs, are missing or damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights, described, files = _Weights(), {}, []
    for name, artifact in artifacts.items():
        model = whole_model(artifact)
        for tensor, values in large_constants(model):
            point_at(tensor, WEIGHTS, weights.add(values), values.nbytes)
        files.append(f"{name}.onnx")
        (folder / files[-1]).write_bytes(model.SerializeToString())
        described[name] = {
            "file": files[-1],
            "inputs": [asdict(spec) for spec in artifact.inputs],
            "outputs": [asdict(spec) for spec in artifact.outputs],
        }
    (folder / WEIGHTS).write_bytes(bytes(weights.packed))
    said = {"graphs": described, "weights": {"size": weights.size, "parts": weights.parts}}
    (folder / GRAPHS).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return [GRAPHS, WEIGHTS, *files]
