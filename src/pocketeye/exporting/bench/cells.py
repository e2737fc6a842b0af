"""Prepare the cells of a benchmark: one network in one runtime at one precision, ready to call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketeye.errors import UserError
from pocketeye.exporting.exported import OF_AN_ARTEFACT, ExportOptions
from pocketeye.exporting.inputs import Inputs, sample_inputs
from pocketeye.exporting.network import write_artifact
from pocketeye.models.reference import ArtifactFolder, Reference
from pocketeye.outputs import whole_folder
from pocketeye.predicting.network import Network, open_network
from pocketeye.progress import task
from pocketeye.runs import MANIFEST, read_origin
from pocketeye.runtimes import Artifact, Executable, get_runtime


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Hold an executable that is timed and its input, or ``problem``, the sentence why there is none."""

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
        """Name of the cell for a person, unless two networks share a name."""
        return f"{self.model} · {self.runtime} · {self.precision}"


def open_cells(
    models: Sequence[str],
    named: Sequence[Reference],
    exports: Sequence[ExportOptions],
    folder: Path,
) -> dict[str, Cell]:
    """Export and open every network in every asked for way, by a label that no two share.

    Args:
        models, named: the names as the user gave them, and what they are.
        exports: at least one, all with as many threads; artefacts keep their runtime and precision.
        folder: where artefacts are made.

    Raises:
        InvalidValue, MissingFile: a network itself cannot be made.
    """
    cells: list[Cell] = []
    with task("preparing", len(models)) as bar:
        for index, (model, one) in enumerate(zip(models, named, strict=True)):
            if isinstance(one, ArtifactFolder):
                cells.append(artifact_cell(one.folder, exports[0].threads))
            else:
                # By number: two runs may have one name.
                cells += model_cells(model, exports, folder / str(index))
            bar.advance()
    return _numbered(cells)


def _numbered(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Name cells by label; the same network twice (two runs of one name) gets a number."""
    named: dict[str, Cell] = {}
    for cell in cells:
        # Names of the same network are counted up, so that no row hides another.
        again = sum(label.partition(" #")[0] == cell.label for label in named)
        named[f"{cell.label} #{again + 1}" if again else cell.label] = cell
    return named


def artifact_cell(folder: Path, threads: int) -> Cell:
    """Open what is already exported; runtime and precision are those of the artefact."""
    artifact = Artifact.load(folder)
    known = read_origin(folder)
    # An artefact of another program has no note of its origin.
    model = known.get("name") or folder.name
    try:
        executable = get_runtime(artifact.runtime).load(artifact, threads=threads)
    except UserError as error:
        return Cell(
            model=model,
            runtime=artifact.runtime,
            precision=artifact.precision,
            problem=str(error),
        )
    # Noise will do: what an image shows has no say in the time of a classifier.
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


def model_cells(model: str, exports: Sequence[ExportOptions], folder: Path) -> Iterator[Cell]:
    """Export ``model`` in every asked for way into folders below ``folder``.

    Raises:
        InvalidValue, MissingFile: the network itself cannot be made.
    """
    # Made once for all exports: the same weights, also of an untrained network.
    network = open_network(model, input_size=exports[0].input_size)
    inputs = sample_inputs(network, None, exports[0].samples)
    for options in exports:
        # One failed cell is a row with a reason; the others are timed.
        yield _export_cell(network, options, folder, inputs)


def _export_cell(network: Network, options: ExportOptions, folder: Path, inputs: Inputs) -> Cell:
    runtime = get_runtime(options.to)
    target = folder / f"{network.name}-{network.input_size}" / f"{options.to}-{options.precision}"
    try:
        with whole_folder(target, MANIFEST, OF_AN_ARTEFACT) as staging:
            write_artifact(network, runtime, options.precision, staging, inputs)
        return artifact_cell(target, options.threads)
    except UserError as error:
        problem = str(error)
    # What exporters raise for foreign networks.
    except (RuntimeError, NotImplementedError) as error:
        problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return Cell(
        model=network.name,
        runtime=options.to,
        precision=options.precision,
        input_size=network.input_size,
        problem=problem,
    )
