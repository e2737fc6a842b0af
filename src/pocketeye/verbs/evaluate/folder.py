"""Choose where the files of an evaluation go."""

from __future__ import annotations

from pathlib import Path

from pocketeye.models.reference import own_folder
from pocketeye.outputs import require_folder


def folder_for(out: Path | None, model: str | None) -> Path | None:
    """Return ``out``, or the folder of the run or artefact; None, where nothing is written, of a name.

    Beside the network ``pocketeye info`` finds what was measured.

    Raises:
        InvalidValue: a file, or a folder that cannot be written.
    """
    folder = out or (None if model is None else own_folder(model))
    if folder is not None:
        # Before the work: an evaluation takes long.
        require_folder(folder)
    return folder
