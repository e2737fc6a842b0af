"""``model.json`` of a trained tracker: what one must know of it to make it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.tam.create import create_tam
from pocketeye.models.tam.tam import TAM
from pocketeye.runs import read_record, write_atomic

FILE = "model.json"
WEIGHTS = "best.safetensors"
SCHEMA = "pocketeye.tracker/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerDescription:
    """Name, size and trunk of a tracker.

    Attributes:
        variant: one of :func:`pocketeye.models.list_tams`.
        image_size: (height, width) of its image; None: the variant's.
        trunk: the timm backbone in place of the variant's own trunk, or None.
        data: what it was trained on, as the user named it.
    """

    variant: str
    image_size: tuple[int, int] | None = None
    trunk: str | None = None
    data: str = ""

    def make(self, image_size: int | tuple[int, int] | None = None) -> TAM:
        """The network, without weights; of another size if one is given."""
        size = self.image_size if image_size is None else image_size
        return create_tam(self.variant, size, trunk=self.trunk)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    def save(self, folder: Path) -> Path:
        """Write ``folder/model.json``."""
        return write_atomic(folder / FILE, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> TrackerDescription:
        """Read ``folder/model.json``.

        Raises:
            MissingFile: not there. InvalidValue: not one of a tracker.
        """
        path = folder / FILE
        if not path.is_file():
            raise MissingFile(f"{folder} is no run of a tracker: {FILE} is missing")
        try:
            return cls(**read_record(path, SCHEMA, ("image_size",)))
        except (ValueError, TypeError) as error:
            raise InvalidValue(
                f"{path} does not describe a tracker of pocketeye ({error}): give the folder of a run "
                "of pocketeye train track or segment-anything"
            ) from error


def weights_in(path: Path) -> Path:
    """The file of weights that a path means: itself, or the best ones of a run folder.

    Raises:
        MissingFile: a folder without any.
    """
    if not path.is_dir():
        return path
    if not (path / WEIGHTS).is_file():
        raise MissingFile(f"{path} is no finished run: {WEIGHTS} is missing")
    return path / WEIGHTS
