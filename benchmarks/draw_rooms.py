"""Draw the rooms of the package, floor above floor, as an SVG.

    python benchmarks/draw_rooms.py --out docs/assets/rooms.svg

Floors are those in ``pyproject.toml``, which ``tests/test_layers_of_the_house.py`` checks, so that the
drawing cannot disagree with the test; the words are written here.
"""

from __future__ import annotations

import argparse
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The rooms of each floor, the ground floor first.
FLOORS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pocketeye"]["floors"]

SAYS = {
    "cli": "parse, call, print",
    "verbs": "one typed function per command",
    "web": "the pages in a browser",
    "jobs": "many videos, many machines",
    "searching": "supernet, learning, deriving, report",
    "training": "one engine, a folder per task",
    "exporting": "network to artefact, with proof",
    "cards": "what is told about anything named",
    "predicting": "use a trained network; judge it",
    "tracking": "prompts, memory rules, videos",
    "latency": "records, tables, protocol",
    "artifacts": "decoding in numpy",
    "runtimes": "a folder per runtime",
    "data": "a folder per kind of annotation",
    "metrics": "AP, mIoU, calibration",
    "models": "pure networks: backbones, dense, tam",
}
GROUND = "errors · results · layers · runs · devices · progress · pages · text · reading"
# Pixels: width of the drawing, height of a floor, space between floors, room for their numbers.
WIDTH, HEIGHT, GAP, LEFT = 900, 62, 10, 54


def floors() -> list[tuple[int, list[str]]]:
    """The rooms of every floor but the ground floor, the highest first."""
    return [(floor, FLOORS[floor]) for floor in range(len(FLOORS) - 1, 0, -1)]


def draw() -> str:
    """The SVG."""
    parts, y = [], GAP
    for floor, rooms in floors():
        width = (WIDTH - LEFT - GAP * len(rooms)) / len(rooms)
        parts.append(_number(floor, y))
        for column, room in enumerate(rooms):
            x = LEFT + column * (width + GAP)
            parts.append(_room(x, y, width, room, SAYS[room]))
        y += HEIGHT + GAP
    parts.append(_number(0, y))
    parts.append(_room(LEFT, y, WIDTH - LEFT - GAP, "ground floor, for all rooms", GROUND))
    y += HEIGHT + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
        'font-family="system-ui, sans-serif" role="img" '
        'aria-label="The rooms of pocketeye, floor above floor">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _number(floor: int, y: float) -> str:
    return (
        f'<text x="{LEFT / 2}" y="{y + HEIGHT / 2 + 6}" font-size="18" fill="#888" '
        f'text-anchor="middle">{floor}</text>'
    )


def _room(x: float, y: float, width: float, name: str, says: str) -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="6" '
        'fill="#eef3f8" stroke="#4a6a8a"/>\n'
        f'<text x="{middle:.1f}" y="{y + 26}" font-size="17" font-weight="600" fill="#1d3347" '
        f'text-anchor="middle">{escape(name)}</text>\n'
        f'<text x="{middle:.1f}" y="{y + 46}" font-size="13" fill="#44586a" '
        f'text-anchor="middle">{escape(says)}</text>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "assets" / "rooms.svg")
    out = parser.parse_args().out
    out.write_text(draw(), encoding="utf-8")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
