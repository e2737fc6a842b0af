"""Make the two clips of ``examples/``: a flower in the open sky, and one that a temple hides.

    python benchmarks/example_clip.py --out examples

The flower and the temple are cut from the two photographs that come with scikit-learn (CC BY 2.0,
vultilion and danielbuechele). The first clip is also that of ``pocketeye demo``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketeye.data.clips.flower import FlowerClip, HiddenFlowerClip
from pocketeye.results import Masks, Result
from pocketeye.tracking import open_writer


def write(clip: FlowerClip, out: Path) -> None:
    """Write the clip as it is."""
    with open_writer(out, fps=clip.fps, overwrite=True) as writer:
        for frame, _ in clip:
            empty = Masks(size=clip.size, items=())
            writer.write(Result(size=clip.size, masks=empty, image=frame))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("examples"))
    folder = parser.parse_args().out
    easy, hard = FlowerClip(), HiddenFlowerClip()
    write(easy, folder / "flower.mp4")
    write(hard, folder / "hidden.mp4")
    print(f"flower.mp4: the flower's middle in frame 0 is {easy.point()}")
    print(f"hidden.mp4: {hard.point()} in frame 0, {hard.point(hard.back)} in frame {hard.back}")


if __name__ == "__main__":
    main()
