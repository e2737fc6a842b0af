"""Read weights that several graphs share, in numpy alone: a session is opened without ``onnx``."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.errors import InvalidValue
from pocketeye.runtimes.base import DTYPES

WEIGHTS, SHARED = "weights.bin", "weights"
"""Name of the common file, and of what a manifest says of it."""


def shared_weights(folder: Path, said: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Read the constants of one graph out of the common file, without a copy.

    Args:
        folder: of the graph.
        said: by the graph's manifest: whether the file lies ``above`` its folder, and a ``table`` of
            offset in bytes, dtype and shape of each constant.

    Raises:
        InvalidValue: the file is missing or damaged, or does not fit to the table.
    """
    file = (folder.parent if said.get("above") is True else folder) / WEIGHTS
    try:
        with file.open("rb") as opened:
            data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        found = {}
        for name, (offset, dtype, shape) in said["table"].items():
            if dtype not in DTYPES:
                raise ValueError(f"no dtype {dtype!r}")
            found[name] = np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidValue(
            f"{file} does not hold the weights of {folder} ({error}): export it again"
        ) from error
    return found
