"""Read clicks and boxes as they are written on the command line."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketeye.errors import InvalidValue


def read_clicks(points: list[str], boxes: list[str]) -> dict[str, Any]:
    """Make the arguments for :meth:`ImageSegmenter.predict`."""
    # Points belong to one object, and so must the box be.
    if points and len(boxes) > 1:
        raise InvalidValue(
            f"points go with one box at most, and here are {len(boxes)}: segment one after another"
        )
    prompts: dict[str, Any] = {}
    if points:
        read = [_point(text) for text in points]
        prompts = {"points": [xy for xy, _ in read], "labels": [label for _, label in read]}
    corners = [_numbers(text, 4, "--box", "x0,y0,x1,y1") for text in boxes]
    if len(corners) == 1:
        prompts["box"] = corners[0]
    elif corners:
        prompts["boxes"] = corners
    return prompts


def _point(text: str) -> tuple[list[float], int]:
    place, colon, sign = text.partition(":")
    if colon and sign not in ("0", "1"):
        raise InvalidValue(
            f"--point {text}: after the colon stands 1 (in the object) or 0 (beside)"
        )
    # Without a sign a point lies in the object.
    return _numbers(place, 2, "--point", "x,y"), int(sign or 1)


def _numbers(text: str, count: int, option: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InvalidValue(f"{option} is written {form} in pixels, got {text!r}")
    return numbers
