"""SA-1B: a json of run lengths beside every image."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from pocketeye.data.files.decode import UnreadableImage
from pocketeye.data.files.names import Names
from pocketeye.data.files.problems import Problems
from pocketeye.data.files.shapes import flaw, runs_mask, runs_of


class Sa1bReader:
    """``sa_*.jpg`` with ``sa_*.json``, in ``root`` or deeper. The json is read with its image.

    Left out and named: an image without json and a json without image.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.names = root, Names()
        problems = Problems()
        images = {p.relative_to(root).with_suffix("") for p in root.glob("**/sa_*.jpg")}
        jsons = {p.relative_to(root).with_suffix("") for p in root.glob("**/sa_*.json")}
        for stem in sorted(images | jsons):
            if stem not in jsons:
                problems.add(f"{stem.as_posix()}.jpg", "no json beside it")
            elif stem not in images:
                problems.add(f"{stem.as_posix()}.json", "missing image")
            else:
                self.names.append(stem.as_posix())
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return f"{self.names[index]}.jpg"

    def image(self, index: int) -> Path:
        return self.root / self.name(index)

    def shapes(
        self, index: int, size: tuple[int, int]
    ) -> tuple[tuple[Callable[[], np.ndarray], ...], tuple[bool, ...]]:
        try:
            content = json.loads((self.root / f"{self.names[index]}.json").read_bytes())
            rles = [annotation["segmentation"] for annotation in content["annotations"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableImage(f"its json cannot be read: {error!r}") from error
        for rle in rles:
            if not isinstance(rle, dict) or flaw(rle):
                raise UnreadableImage("its json has an annotation without run lengths")
        filled = [runs for runs in (runs_of(rle, size) for rle in rles) if runs[1::2].any()]
        return tuple(partial(runs_mask, runs, size) for runs in filled), (True,) * len(filled)
