"""The cells of a benchmark: one network in one runtime at one precision, ready to be called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketeye.errors import UserError
from pocketeye.exporting.inputs import Inputs, sample_inputs
from pocketeye.exporting.network import write_artifact
from pocketeye.predicting.network import Network, open_network
from pocketeye.runs import ORIGIN
from pocketeye.runtimes import Artifact, Executable, Precision, Runtime, get_runtime


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is timed: an executable and its input, or ``problem``, the sentence why there is none."""

    model: str
    runtime: str
    precision: str
    input_size: int | None = None
    macs: int | None = None
    params: int | None = None
    artifact: Artifact | None = None
    executable: Executable | None = None
    arrays: tuple[np.ndarray, ...] = ()
    problem: str | None = None

    @property
    def label(self) -> str:
        return f"{self.model} · {self.runtime} · {self.precision}"


def artifact_cell(folder: Path, threads: int) -> Cell:
    """A cell for what is already exported; its runtime and precision are those of the artefact."""
    artifact = Artifact.load(folder)
    origin = folder / ORIGIN
    known = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else {}
    model = known.get("name", folder.name)
    try:
        executable = get_runtime(artifact.runtime).load(artifact, threads=threads)
    except UserError as error:
        return Cell(
            model=model,
            runtime=artifact.runtime,
            precision=artifact.precision,
            problem=str(error),
        )
    generator = np.random.default_rng(0)
    return Cell(
        model=model,
        runtime=artifact.runtime,
        precision=artifact.precision,
        input_size=artifact.inputs[0].shape[-1],
        macs=known.get("macs"),
        params=known.get("params"),
        artifact=artifact,
        executable=executable,
        arrays=tuple(
            generator.standard_normal(spec.shape).astype(spec.dtype) for spec in artifact.inputs
        ),
    )


def model_cells(
    model: str,
    runtimes: Sequence[Runtime],
    precisions: Sequence[Precision],
    folder: Path,
    *,
    input_size: int | None,
    threads: int,
    samples: int,
) -> Iterator[Cell]:
    """Export ``model`` for every runtime and precision into folders below ``folder``.

    Raises:
        InvalidValue, MissingFile: the network itself cannot be made.
    """
    network = open_network(model, input_size=input_size)
    inputs = sample_inputs(network, None, samples)
    for runtime in runtimes:
        for precision in precisions:
            yield _export_cell(network, runtime, precision, folder, inputs, threads)


def _export_cell(
    network: Network,
    runtime: Runtime,
    precision: Precision,
    folder: Path,
    inputs: Inputs,
    threads: int,
) -> Cell:
    target = folder / f"{network.name}-{network.input_size}" / f"{runtime.name}-{precision}"
    try:
        artifact = write_artifact(network, runtime, precision, target, inputs)
        cell = artifact_cell(target, threads)
    except UserError as error:
        problem = str(error)
    except (
        RuntimeError,
        NotImplementedError,
    ) as error:  # what exporters raise for foreign networks
        problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    else:
        assert artifact.path == target / artifact.file
        return cell
    return Cell(
        model=network.name,
        runtime=runtime.name,
        precision=precision,
        input_size=network.input_size,
        problem=problem,
    )
