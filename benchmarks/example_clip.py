"""Make ``examples/flower.mp4``: a flower that flies across the sky beside a temple.

    python benchmarks/example_clip.py --out examples/flower.mp4

The flower and the temple are cut from the two photographs that come with scikit-learn (CC BY 2.0,
vultilion and danielbuechele). Nothing hides the flower, so this is the easy clip; the clip of
``pocketeye demo`` hides it behind the temple.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from pocketeye.results import Masks, Result
from pocketeye.tracking import open_writer
from pocketeye.verbs.demo.clip import FlowerClip, _Moment

NUM_FRAMES = 40


class SkyClip(FlowerClip):
    """``NUM_FRAMES`` frames of the flower in the open sky, with its exact masks."""

    def __len__(self) -> int:
        return NUM_FRAMES

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < NUM_FRAMES:
            raise IndexError(index)
        moment = _moment(index / (NUM_FRAMES - 1))
        ground, _ = self._seen(moment)
        flower, alpha = self._flower(moment)
        frame = ground * (1 - alpha[..., None]) + flower * alpha[..., None]
        return np.rint(frame).astype(np.uint8), alpha > 0.5


def _moment(t: float) -> _Moment:
    """``t`` from 0 to 1. The path stays right of the temple, whose colours are the flower's; the
    camera stays inside the photograph."""
    turn = 2 * math.pi * t
    return _Moment(
        camera=(380 + 30 * t, 170 - 20 * math.sin(turn)),
        seen=440 - 40 * math.sin(math.pi * t),
        flower=(575 - 190 * t, 95 + 75 * math.sin(math.pi * t)),
        scale=0.62 + 0.10 * math.sin(turn),
        angle=0.8 * turn,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("examples/flower.mp4"))
    out = parser.parse_args().out
    clip = SkyClip()
    with open_writer(out, fps=clip.fps, overwrite=True) as writer:
        for frame, _ in clip:
            empty = Masks(size=clip.size, items=())
            writer.write(Result(size=clip.size, masks=empty, image=frame))
    print(f"wrote {out}; the flower's middle in frame 0 is {clip.point()}")


if __name__ == "__main__":
    main()
