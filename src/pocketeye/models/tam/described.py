"""Read and write ``model.json`` of a trained tracker: what one must know to make it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pocketeye.errors import MissingFile
from pocketeye.models.tam.create import create_tam
from pocketeye.models.tam.tam import TAM
from pocketeye.models.task import SEGMENT_ANYTHING, TRACK, Task
from pocketeye.models.weights.bundled import weights_at
from pocketeye.models.weights.described import Description
from pocketeye.reading import Pixels
from pocketeye.runs import BEST


@dataclass(frozen=True, kw_only=True)
class TrackerDescription(Description):
    """Describe a trained tracker: task, name, size and trunk.

    Attributes:
        task: ``track``, or ``segment-anything`` where only images were learnt from.
        variant: one of :func:`pocketeye.models.list_tams`.
        image_size: (height, width) of its image; None: the variant's.
        trunk: the timm backbone in place of the variant's own trunk, or None.
        data: what it was trained on, as the user named it.
    """

    SCHEMA: ClassVar[str] = "pocketeye.tracker/1"
    WHAT: ClassVar[str] = "a run of a tracker"
    TASKS: ClassVar[tuple[Task, ...]] = (SEGMENT_ANYTHING, TRACK)

    task: Task = TRACK
    variant: str
    image_size: tuple[Pixels, Pixels] | None = None
    trunk: str | None = None
    data: str = ""

    def make(self, image_size: int | tuple[int, int] | None = None) -> TAM:
        """Make the network, without weights; of another size if one is given."""
        size = self.image_size if image_size is None else image_size
        return create_tam(self.variant, size, trunk=self.trunk)


def weights_in(path: Path) -> Path:
    """Return the file of weights that a path means: itself, the best of a run, or what comes along.

    Raises:
        MissingFile: a folder without any.
    """
    if not path.is_dir():
        return weights_at(path)
    # A run that was broken off has weights too, but nobody has chosen them.
    if not (path / BEST).is_file():
        raise MissingFile(f"{path} is no finished run: {BEST} is missing")
    return path / BEST
