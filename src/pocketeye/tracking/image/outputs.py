"""Choose where the masks of images go, and write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.inputs import FileInput, find_inputs
from pocketeye.data.labelled.writing import label_files
from pocketeye.data.labelled.writing.label_files import LabelFiles, label_form
from pocketeye.errors import InvalidValue
from pocketeye.outputs import held
from pocketeye.results import Result
from pocketeye.runs import make_folder
from pocketeye.tracking.image.save import require_free, save_masks

_IN_MEMORY = "image"  # the name of one that is no file


@dataclass(frozen=True)
class Outputs:
    """Hold where masks go.

    Attributes:
        images: paths, or pixels.
        place: the file or folder.
        form: the layout of an annotation tool, None for drawings.
        targets: of drawings, a file or folder for each image.
    """

    images: Sequence[Any]
    place: Path
    form: str | None
    targets: Sequence[Path]

    @property
    def names(self) -> list[str]:
        """Return what each image is called; arrays have no name."""
        paths = (str(i) if isinstance(i, str | Path) else _IN_MEMORY for i in self.images)
        return list(paths)

    def write(
        self, found: Iterable[Result], pixels: Sequence[np.ndarray]
    ) -> Iterator[tuple[str, Result, list[Path], tuple[str, ...]]]:
        """Write the results as they come; yield name, result, files and notes of each image.

        Raises:
            InvalidValue: the place cannot be written, or another process writes there.
        """
        return self._labels(found, pixels) if self.form else self._drawings(found)

    def _drawings(
        self, found: Iterable[Result]
    ) -> Iterator[tuple[str, Result, list[Path], tuple[str, ...]]]:
        make_folder(self.place.parent if self.place.suffix else self.place)
        with held(self.place):
            for name, each, target in zip(self.names, found, self.targets, strict=True):
                yield name, each, save_masks(each, target, Path(name).name), ()

    def _labels(
        self, found: Iterable[Result], pixels: Sequence[np.ndarray]
    ) -> Iterator[tuple[str, Result, list[Path], tuple[str, ...]]]:
        assert self.form is not None
        inputs = [
            FileInput(Path(i)) if isinstance(i, str | Path) else find_inputs([i])[0][0]
            for i in self.images
        ]
        places = [i.path if isinstance(i, FileInput) else _IN_MEMORY for i in inputs]
        labels = LabelFiles(self.place, self.form, places)
        results = []
        with labels.writing():
            for n, each in enumerate(found):
                labels.add_result(n, each, inputs[n].read(), pixels[n])
                results.append(each)
            files = labels.finish()
        # The files are of all images: the first says so.
        for n, each in enumerate(results):
            yield self.names[n], each, [] if n else files, () if n else labels.notes


def outputs_for(
    images: Sequence[Any], out: Path | None, form: str | None, overwrite: bool
) -> Outputs:
    """Return where masks go, and refuse what would be overwritten.

    Raises:
        InvalidValue: an ending that is not known or does not go with the form, or what is there
            already.
    """
    stems = [Path(i).stem if isinstance(i, str | Path) else _IN_MEMORY for i in images]
    default = Path("out") / "segment"
    if form and out is None:
        out = default / f"{stems[0] if len(stems) == 1 else 'images'}-{form}"
    chosen = label_form(out, form) if out else None
    if out and chosen:
        label_files.require_free(out, overwrite)
        return Outputs(images, out, chosen, ())
    targets = [out or default / f"{stems[0]}.png"]
    if len(images) > 1:
        folder = out or default
        # With an ending it would be one file for several images.
        if folder.suffix:
            raise InvalidValue(f"--out of several images is a folder, and {folder} has an ending")
        # Numbers, as two images may have the same name.
        targets = [folder / f"{number:04d}-{stem}.png" for number, stem in enumerate(stems)]
    for each, target in zip(images, targets, strict=True):
        # A cell of a notebook runs again and again: what has no name of its own is replaced.
        unnamed = out is None and not isinstance(each, str | Path)
        require_free(target, overwrite or unnamed)
    place = targets[0] if len(targets) == 1 else targets[0].parent
    return Outputs(images, place, None, targets)
