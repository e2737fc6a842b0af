"""Share what runtimes need: whole artefacts on disk, checked arrays, modules held in eval mode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.outputs import cannot_write, whole_folder
from pocketeye.runs import MANIFEST, sha256_of
from pocketeye.runtimes.base import PRECISIONS, Artifact, Runtime, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

SHA256, BESIDE = "sha256", "beside"
_DESCRIBING = (".json", ".yaml", ".bin")


def store(artifact: Artifact, write: Callable[[Path], object]) -> Artifact:
    """Let ``write(path)`` make the artefact's file, then put file and manifest into its folder.

    Both appear only when complete, the manifest last.

    Raises:
        InvalidValue: the disk is full or the folder cannot be written, or somebody else writes there.
    """
    folder = artifact.folder
    # The manifest last: until it is there, the folder is no artefact. Not synced: what the artefact
    # becomes a part of is brought to the disk as a whole.
    with whole_folder(folder, MANIFEST, sync=False) as partial:
        try:
            write(partial / artifact.file)
            written = replace(artifact, folder=partial)
            extra = {**artifact.extra, SHA256: sha256_of_files(written)}
        except OSError as error:
            raise cannot_write(folder / artifact.file, error) from error
        replace(written, extra=extra).save()
    return replace(artifact, extra=extra)


def sha256_of_files(artifact: Artifact) -> str:
    """Return the sha256 of the artefact's file; of several, that of their names and sha256s.

    Raises:
        OSError: one cannot be read.
    """
    if artifact.files == (artifact.path,):
        return sha256_of(artifact.path)
    # Names count: two files that are exchanged are another network.
    lines = (f"{p.relative_to(artifact.folder).as_posix()} {sha256_of(p)}" for p in artifact.files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def seal(artifact: Artifact) -> Artifact:
    """Let the manifest name the sha256 of what lies beside it: it all belongs to this graph.

    Raises:
        InvalidValue: the manifest cannot be written.
    """
    beside = {
        path.name: sha256_of(path)
        for path in sorted(artifact.folder.iterdir())
        # Scripts do not say what the graph is, and may be adapted.
        if path.suffix in _DESCRIBING
        and path.name not in (MANIFEST, artifact.file, *artifact.parts)
    }
    return replace(artifact, extra={**artifact.extra, BESIDE: beside}).save()


class Named(Protocol):
    """Anything that goes by the name of a runtime."""

    @property
    def name(self) -> str: ...


def check_stored(artifact: Artifact, runtime: Named) -> None:
    """Refuse an artefact of another runtime, without its file, or whose file was changed.

    Raises:
        MissingFile: the file is gone. InvalidValue: it is not what the manifest describes.
    """
    # First of all: another runtime's file would only be called damaged.
    if artifact.runtime != runtime.name:
        raise InvalidValue(
            f"the artefact in {artifact.folder} was made for the runtime {artifact.runtime!r}, "
            f"not for {runtime.name!r}: export it again"
        )
    for path in (artifact.path, *(artifact.folder / name for name in artifact.parts)):
        if not path.exists():
            raise MissingFile(f"the artefact {path} is missing: export it again")
    # Manifests without a hash come from elsewhere, and are taken at their word.
    expected = artifact.extra.get(SHA256)
    if expected is not None and expected != sha256_of_files(artifact):
        raise InvalidValue(
            f"{artifact.path} is not the file its {MANIFEST} describes (damaged, changed or "
            "half-written): export it again"
        )
    for name, digest in artifact.extra.get(BESIDE, {}).items():
        path = artifact.folder / name
        if not path.is_file() or sha256_of(path) != digest:
            raise InvalidValue(
                f"{path} does not belong to {artifact.path} (its {MANIFEST} has another sha256): it "
                "was copied, edited or lost; export again"
            )


def check_threads(threads: int) -> None:
    """Check a number of threads.

    Raises:
        InvalidValue: it is below one.
    """
    if threads < 1:
        raise InvalidValue(f"threads must be at least 1, got {threads}")


def check_precision(runtime: Runtime, precision: str) -> None:
    """Check that ``runtime`` can export a precision.

    Raises:
        InvalidValue: it cannot; the sentence names those it has.
    """
    if precision not in runtime.precisions:
        # A precision that no runtime has is a misspelling; others are a choice of this one.
        known = "" if precision in PRECISIONS else " is unknown and"
        raise InvalidValue(
            f"precision {precision!r}{known} is not offered by the runtime {runtime.name!r} "
            f"(it has {', '.join(runtime.precisions)})"
        )


def check_arrays(specs: Sequence[TensorSpec], arrays: Sequence[np.ndarray]) -> None:
    """Check that ``arrays`` have the number, shapes and dtypes of ``specs``.

    Raises:
        InvalidValue: they have not. Nothing is converted: a cast would hide what the artefact takes.
    """
    if len(arrays) != len(specs):
        raise InvalidValue(f"expected {len(specs)} input array(s), got {len(arrays)}")
    for spec, array in zip(specs, arrays, strict=True):
        # Batches too: graphs have static shapes.
        if tuple(array.shape) != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise InvalidValue(
                f"input {spec.name!r} must be {spec.dtype} of shape {spec.shape}, "
                f"got {array.dtype} of shape {tuple(array.shape)}"
            )


def tensor_specs(names: Sequence[str], tensors: Sequence[torch.Tensor]) -> tuple[TensorSpec, ...]:
    """Describe tensors by name, shape and dtype.

    Raises:
        InvalidValue: more or fewer names than tensors.
    """
    if len(names) != len(tensors):
        raise InvalidValue(
            f"{len(tensors)} tensor(s) need as many names, got {len(names)}: {', '.join(names)}"
        )
    return tuple(
        TensorSpec(name=name, shape=tuple(t.shape), dtype=str(t.dtype).removeprefix("torch."))
        for name, t in zip(names, tensors, strict=True)
    )


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Hold a module in eval mode for the length of the block, then restore every submodule's own."""
    # Of each submodule: frozen norms are in eval mode within a network that trains.
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for submodule, training in modes:
            submodule.training = training


def run_module(module: nn.Module, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the outputs of one forward pass in the module's present mode, always as a tuple."""
    import torch

    with torch.inference_mode():
        result = module(*inputs)
    # One output or several: runtimes know tuples alone.
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)
