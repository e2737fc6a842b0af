"""Draw images with what a network sees in them on one sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from pathlib import Path, PurePath
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from pocketeye.predicting.predict import Prediction
from pocketeye.results.figures import VAL_COLOUR, short
from pocketeye.results.result import save_image
from pocketeye.text import human_percent

CELL = 192
"""Side of the square each image is fitted into."""
MOST_IMAGES = 120  # so that the sheet can still be looked at
_MOST_ROWS = 5  # of the likeliest classes; the rest says little
_MARGIN, _HEAD, _TITLE, _LINE = 14, 42, 18, 19
_INK, _FAINT, _BAR, _PAPER = "#1c1c1c", "#6b6b6b", "#c9daee", "#ffffff"


def save_contact_sheet(predictions: Sequence[Prediction], path: Path, title: str) -> Path:
    """Draw the first 120 predictions (those with a thumbnail): name, image, classes with bars."""
    shown = [row for row in predictions if row.thumbnail is not None][:MOST_IMAGES]
    assert shown
    rows = min(_MOST_ROWS, max(len(row.classes) for row in shown))
    columns = _columns(len(shown))
    width, height = CELL + _MARGIN, _TITLE + CELL + rows * _LINE + 2 * _MARGIN
    # a title needs some room, even above a single image
    across = max(columns * width + _MARGIN, 460)
    size = across, -(-len(shown) // columns) * height + _HEAD
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    more = (
        f" · the first {len(shown)} of {len(predictions)}" if len(predictions) > len(shown) else ""
    )
    draw.text((_MARGIN, 12), _fit(title + more, _font(14, bold=True), across - 2 * _MARGIN), _INK,
              _font(14, bold=True))  # fmt: skip
    for place, (row, name) in enumerate(zip(shown, _names(shown), strict=True)):
        left = _MARGIN + place % columns * width
        _draw_cell(sheet, draw, row, name, left, _HEAD + place // columns * height, rows)
    return save_image(sheet, path)


def _columns(count: int) -> int:
    """Choose the number of columns: 4 for 3 rows, and 10 at most, so that no sheet is a ribbon."""
    return min(10, max(1, round((count * 4 / 3) ** 0.5)), count)


def _names(rows: Sequence[Prediction]) -> list[str]:
    """Return the file name of each image, with the folder above it where two files are alike."""
    counts = Counter(PurePath(row.name).name for row in rows)
    names = []
    for row in rows:
        path = PurePath(row.name)
        alike = counts[path.name] > 1 and path.parent.name
        names.append(f"{path.parent.name}/{path.name}" if alike else path.name or row.name)
    return names


def _draw_cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Prediction, name: str, left: int, top: int,
    rows: int,
) -> None:  # fmt: skip
    assert row.thumbnail is not None
    draw.text((left, top), _fit(name, _font(11), CELL), _FAINT, _font(11))
    # The name above, the image in the middle, the classes below.
    top += _TITLE
    draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), "#f1f1f1")
    # Centred: images have all shapes.
    x = left + (CELL - row.thumbnail.width) // 2
    y = top + (CELL - row.thumbnail.height) // 2
    sheet.paste(row.thumbnail.convert("RGB"), (x, y))
    top += CELL + 4
    for place, (label, share) in enumerate(
        zip(row.classes[:rows], row.probabilities[:rows], strict=True)
    ):
        font = _font(12, bold=place == 0)
        line = top + place * _LINE
        draw.rectangle((left, line, left + CELL - 1, line + _LINE - 3), "#f4f4f4")
        # A damaged network gives no numbers, and they have no length.
        if bar := round(share * CELL) if isfinite(share) else 0:
            # Pillow draws a rectangle of width 0 as one of 1.
            draw.rectangle((left, line, left + bar - 1, line + _LINE - 3), _BAR)
        shown = human_percent(share)
        wide = round(font.getlength(shown))
        draw.text((left + CELL - 4 - wide, line + 1), shown, _INK, font)
        text = _fit(label, font, CELL - 12 - wide)
        draw.text((left + 4, line + 1), text, VAL_COLOUR if place == 0 else _INK, font)


def _fit(text: str, font: Any, width: int) -> str:
    """Cut ``text`` to what fits into ``width`` pixels."""
    text = " ".join(text.split())
    # By trying: letters differ in width.
    for most in range(len(text), 0, -1):
        candidate = short(text, most)
        if font.getlength(candidate) <= width:
            return candidate
    return ""


def _font(size: int, *, bold: bool = False) -> Any:
    # DejaVu comes with matplotlib: letters look alike on every machine.
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / name, size)
