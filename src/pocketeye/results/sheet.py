"""Images side by side on one sheet: a title, headed columns, a line of text over each row, a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pocketeye.results.legend import legend

_GAP, _INK, _FAINT, _PAPER = 8, "#1c1c1c", "#6b6b6b", "#ffffff"
_TITLE, _TEXT, _NOTE = 15, 13, 15  # points
_NARROWEST = 640  # pixels: a title wants some room, even over a single row


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetRow:
    """What belongs together: a sentence, and images under the heads of the sheet."""

    text: str
    images: Sequence[Image.Image]


def draw_sheet(
    rows: Sequence[SheetRow],
    *,
    title: str,
    heads: Sequence[str],
    named: Sequence[tuple[str, int]] = (),
    columns: int = 2,
) -> Image.Image:
    """Draw a sheet on which no word is cut: what is too long goes on in the next line.

    Args:
        rows: one or more, with as many images as there are heads.
        title: over everything.
        heads: over the images of each row; may be empty.
        named: classes and their numbers, for the key below; none where empty.
        columns: rows beside each other.
    """
    columns = min(columns, len(rows))
    panels = [max(row.images[k].width for row in rows) for k in range(len(heads))]
    cell = sum(panels) + _GAP * (len(panels) + 1)
    width = max(columns * cell, _NARROWEST)
    blocks = [_block(row, heads, panels, max(cell, width // columns)) for row in rows]
    lines = [blocks[at : at + columns] for at in range(0, len(blocks), columns)]
    heights = [max(block.height for block in line) for line in lines]
    top = _written(title, width - 2 * _GAP, _TITLE, _INK)
    key = legend(named, width - 2 * _GAP) if named else None
    below = key.height + _GAP if key else 0
    sheet = Image.new("RGB", (width, top.height + 2 * _GAP + sum(heights) + below), _PAPER)
    sheet.paste(top, (_GAP, _GAP))
    y = top.height + 2 * _GAP
    for line, height in zip(lines, heights, strict=True):
        for column, block in enumerate(line):
            sheet.paste(block, (column * (width // columns), y))
        y += height
    if key:
        sheet.paste(key, (_GAP, y))
    return sheet


def with_note(image: Image.Image, text: str) -> Image.Image:
    """Return the image with a sentence across its middle, as where there is nothing to draw."""
    noted = image.copy()
    card = _written(text, max(noted.width - 2 * _GAP, 60), _NOTE, _INK, pad=4)
    noted.paste(card, ((noted.width - card.width) // 2, (noted.height - card.height) // 2))
    return noted


def _block(row: SheetRow, heads: Sequence[str], panels: Sequence[int], width: int) -> Image.Image:
    """Draw a row: its text, the heads, the images."""
    text = _written(row.text, width - 2 * _GAP, _TEXT, _INK)
    over = [_written(head, wide, _TEXT, _FAINT) for head, wide in zip(heads, panels, strict=True)]
    top = text.height + (max(head.height for head in over) if any(heads) else 0) + 4
    height = top + max(image.height for image in row.images) + 2 * _GAP
    block = Image.new("RGB", (width, height), _PAPER)
    block.paste(text, (_GAP, 0))
    x = _GAP
    for head, image, wide in zip(over, row.images, panels, strict=True):
        block.paste(head, (x, text.height + 2))
        block.paste(image, (x, top))
        x += wide + _GAP
    return block


def _written(text: str, width: int, points: int, ink: str, pad: int = 0) -> Image.Image:
    """Write a text on paper of its own size, at most ``width`` pixels wide."""
    font = ImageFont.load_default(points)
    lines = _lines(text, width - 2 * pad, font)
    step = round(points * 1.35)
    wide = max(round(font.getlength(line)) for line in lines) + 1
    paper = Image.new("RGB", (wide + 2 * pad, step * len(lines) + 2 * pad), _PAPER)
    draw = ImageDraw.Draw(paper)
    for number, line in enumerate(lines):
        draw.text((pad, pad + number * step), line, ink, font)
    return paper


def _lines(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Break a text at its spaces, and inside of words that are longer than a line."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines += [] if not lines[-1] else [""]
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines
