"""Sheets of images on which no word is cut."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFont

from pocketeye.results.sheet import SheetRow, _lines, draw_sheet, with_note


def tile(width: int = 100, height: int = 60, colour: str = "#2040c0") -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def test_long_titles_and_names_go_on_in_the_next_line():
    row = SheetRow(text="a/very_long_name_without_any_space" * 4, images=(tile(), tile()))
    short = draw_sheet([row], title="run", heads=("true", "found"))
    long = draw_sheet([row], title="run " * 120, heads=("true", "found"))
    assert long.width == short.width == 640
    assert long.height > short.height + 40


def test_no_line_is_wider_than_its_place():
    font = ImageFont.load_default(13)
    text = "words of a title and a_very_long_path/without_a_space.png " * 3
    lines = _lines(text, 120, font)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(font.getlength(line) for line in lines) <= 120


def test_rows_stand_beside_each_other_with_all_their_images():
    rows = [SheetRow(text=str(n), images=(tile(330), tile(330, 80))) for n in range(3)]
    sheet = np.asarray(draw_sheet(rows, title="t", heads=("a", "b"), named=[("cat", 0)]))
    blue = (sheet == (0x20, 0x40, 0xC0)).all(axis=2)
    assert blue.sum() == 3 * 330 * (60 + 80)
    assert sheet.shape[1] == 2 * (2 * 330 + 3 * 8)


def test_a_note_is_written_where_nothing_is_drawn():
    plain = tile()
    noted = with_note(plain, "nothing >= 0.3")
    assert noted.size == plain.size
    assert (np.asarray(noted) != np.asarray(plain)).any()
