"""Read SA-1B: a json of run lengths beside every image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from pocketeye.data.files import Names, Problems, UnreadableImage, walk
from pocketeye.data.files.annotations.shapes import flaw, read_outline, runs_mask, runs_of
from pocketeye.reading import parse_json, read_regular

_IMAGES = (".jpg", ".jpeg")


class Sa1bReader:
    """Read ``sa_*.jpg`` with ``sa_*.json``, in ``root`` or deeper. The json is read with its image.

    Left out and named: an image without json and a json without image.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.names, self.jsons = root, Names(), Names()
        problems = Problems()
        files = [name for name, _ in walk(root) if Path(name).name.startswith("sa_")]
        images = {_stem(name): name for name in files if name.lower().endswith(_IMAGES)}
        jsons = {_stem(name): name for name in files if name.lower().endswith(".json")}
        for stem in sorted(images.keys() | jsons.keys()):
            if stem not in jsons:
                problems.add(images[stem], "no json beside it")
            elif stem not in images:
                problems.add(jsons[stem], "missing image")
            else:
                self.names.append(images[stem])
                self.jsons.append(jsons[stem])
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def image(self, index: int) -> Path:
        return self.root / self.name(index)

    def shapes(
        self, index: int, size: tuple[int, int]
    ) -> tuple[tuple[Callable[[], np.ndarray], ...], tuple[bool, ...]]:
        try:
            content = parse_json(read_regular(self.root / self.jsons[index]))
            rles = [read_outline(row["segmentation"]) for row in content["annotations"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableImage(f"its json cannot be read: {error!r}") from error
        for rle in rles:
            if not isinstance(rle, dict) or flaw(rle):
                raise UnreadableImage("its json has an annotation without run lengths")
        filled = [runs for runs in (runs_of(rle, size) for rle in rles) if runs[1::2].any()]
        return tuple(partial(runs_mask, runs, size) for runs in filled), (True,) * len(filled)


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()
