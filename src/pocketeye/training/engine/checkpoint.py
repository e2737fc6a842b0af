"""Keep ``last.ckpt``: what a run goes on from, written whole and believed only as it was written."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models.weights.saved import checksum
from pocketeye.outputs import write_whole
from pocketeye.runs import CHECKPOINT, RunFolder

_OURS, _SUM, _RUN = "pocketeye", "sha256", "run_sha256"
# What Lightning takes from a checkpoint.
_NEEDED = (
    "state_dict",
    "optimizer_states",
    "lr_schedulers",
    "callbacks",
    "loops",
    "epoch",
    "global_step",
)
_REMEDY = "start again with --overwrite"
# Nearly everything is raised for a pickle of which a byte has changed.
_DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError,
    OSError, RuntimeError, TypeError, ValueError, pickle.PickleError, struct.error,
)  # fmt: skip


class WholeCheckpoint(CheckpointIO):
    """Write checkpoints of a run beside their place, with a checksum, and rename them.

    Lightning's own goes through the folder for temporary files, whose disk may be full.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; raise OSError where that is not possible, and the old one is whole."""
        # A copy: Lightning goes on using its own.
        content = dict(checkpoint)
        if Path(path).name == CHECKPOINT:
            content[_OURS] = {_SUM: checksum(checkpoint), _RUN: self.run.identity}
        data = io.BytesIO()
        # In memory first: half a file must never stand in place of the old one.
        torch.save(content, data)
        write_whole(Path(path), data.getvalue())

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Load a checkpoint, see :func:`read_checkpoint`.

        Lightning hands over weights from spawned processes in a file of its own, which is read as it is.
        """
        if Path(path).name != CHECKPOINT:
            weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return weights
        return read_checkpoint(Path(path), self.run)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path, run: RunFolder) -> dict[str, Any]:
    """Read a checkpoint, no code of which is run.

    Raises:
        InvalidValue: damaged, of another program, or of another run.
    """
    try:
        # weights_only: a checkpoint may be a stranger's, and pickles run code.
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        # What torch says of a pickle is about trusting it.
        told = isinstance(error, RuntimeError | OSError) and str(error)
        reason = f" ({str(error).splitlines()[0].partition('. ')[0]})" if told else ""
        raise InvalidValue(f"{path} is damaged or not ours{reason}: {_REMEDY}") from error
    note = content.pop(_OURS, None) if isinstance(content, dict) else None
    if not isinstance(note, dict) or any(name not in content for name in _NEEDED):
        raise InvalidValue(f"{path} is not a checkpoint of pocketeye: {_REMEDY}")
    # Bytes may change on a disk without breaking the pickle.
    if note.get(_SUM) != checksum(content):
        raise InvalidValue(
            f"{path} is damaged: its contents are not those that were saved (another checksum): "
            f"{_REMEDY}"
        )
    # The settings decide what the numbers mean: another run's would be continued wrongly.
    if note.get(_RUN) != run.identity:
        raise InvalidValue(
            f"{path} belongs to a run with other settings than {run.path}/config.yaml: put its own "
            f"back, or {_REMEDY}"
        )
    return content


def require_structure(path: Path, checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Raise InvalidValue for a checkpoint of another network than ``module``."""
    stored: Any = checkpoint["state_dict"]
    ours = module.state_dict()
    names = [name for name in ours if not isinstance(stored.get(name), Tensor)]
    names += [name for name in stored if name not in ours]
    # Shapes last: only names that both have can be compared.
    names += [name for name in ours if name not in names and stored[name].shape != ours[name].shape]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise InvalidValue(
            f"{path} is of another network than this one: {names[0]}{more} does not fit; {_REMEDY}"
        )
