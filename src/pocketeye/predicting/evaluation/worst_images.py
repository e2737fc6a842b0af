"""Draw the worst images of an evaluation: what is true beside what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pocketeye.metrics import FoundObjects, Mistakes, TrueObjects, match
from pocketeye.results import LabelMap, Result
from pocketeye.results.result import save_image
from pocketeye.results.sheet import SheetRow, draw_sheet, with_note
from pocketeye.text import human_percent

PAIR, TRIPLE = 460, 380
"""Width of an image in pixels, of two side by side and of three."""
# A tall image at full width would push all others off the page.
_TALLEST = 1.2
_RIGHT, _MISTAKE = 2, 5
"""Classes whose colours, green and red, tell what is right where there is one class only."""
_WRONG, _GREY = (213, 94, 0), 0.65


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstDetection:
    """Hold an image, uint8 RGB ``(H, W, 3)``, its objects, those found, a sentence on the mistakes."""

    sentence: str
    image: np.ndarray
    truth: TrueObjects
    found: FoundObjects


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstMap:
    """Hold an image with what is true and what was found; ``miou`` over the classes in it, 0 to 1."""

    name: str
    miou: float
    accuracy: float
    image: np.ndarray
    truth: np.ndarray
    found: np.ndarray


def save_worst_detections(
    worst: Sequence[WorstDetection], classes: Sequence[str], title: str, score: float, path: Path
) -> list[Path]:
    """Draw truth beside prediction of each image; write nothing where there is none.

    Only mistakes are named: in the truth what was missed, in the prediction what is wrong. In a set of
    one class the colours tell them.

    Args:
        worst: worst first.
        classes: names in the order of the labels.
        title: what was judged on what.
        score: from which on objects were counted.
        path: of the image.

    Returns:
        The path, or nothing.
    """
    head = f"{title}: worst images"
    return _saved(detection_sheet(worst, classes, head, score) if worst else None, path)


def detection_sheet(
    rows: Sequence[WorstDetection], classes: Sequence[str], title: str, score: float,
    columns: int = 2,
) -> Image.Image:  # fmt: skip
    """Draw truth beside prediction of each image, at scores from ``score``."""
    drawn: list[SheetRow] = []
    labels: set[int] = set()
    for one in rows:
        true, found = _detection_pair(one.image, one.truth, one.found, classes)
        if not len(one.truth):
            true = with_note(true, "no object")
        if not len(one.found):
            found = with_note(found, f"nothing >= {score:g}" if score else "nothing at any score")
        drawn.append(SheetRow(text=one.sentence, images=(true, found)))
        labels |= {*one.truth.labels.tolist(), *one.found.labels.tolist()}
    sure = f"found, score >= {score:.2f}" if score else "found, at any score"
    # A score of 0 hides nothing: the title says so.
    if len(classes) == 1:
        heads = ("true", sure)
        named = [(f"{classes[0]}: right", _RIGHT), ("missed or wrong", _MISTAKE)]
    else:
        heads = ("true, named where missed", f"{sure}, named where wrong")
        named = _named(classes, labels)
    return draw_sheet(drawn, title=title, heads=heads, named=named, columns=columns)


def save_worst_maps(
    worst: Sequence[WorstMap], classes: Sequence[str], title: str, path: Path
) -> list[Path]:
    """Draw truth, prediction and mistakes of each image; write nothing where there is none.

    The arguments are those of :func:`save_worst_detections`.
    """
    return _saved(map_sheet(worst, classes, f"{title}: worst images") if worst else None, path)


def map_sheet(
    rows: Sequence[WorstMap], classes: Sequence[str], title: str, columns: int = 2
) -> Image.Image:
    """Draw truth, prediction and mistakes of each image."""
    drawn: list[SheetRow] = []
    labels: set[int] = set()
    for one in rows:
        triple, seen = _semantic_triple(one, classes)
        text = (
            f"{one.name}: mean IoU {human_percent(one.miou)}, {human_percent(one.accuracy)} right"
        )
        drawn.append(SheetRow(text=text, images=triple))
        labels |= seen
    heads = ("true", "found", "mistakes in orange")
    return draw_sheet(
        drawn, title=title, heads=heads, named=_named(classes, labels), columns=columns
    )


def in_words(mistakes: Mistakes) -> str:
    """Return the F1 and the numbers behind it in words, zeros left out."""
    parts = {
        "right": mistakes.right, "missed": mistakes.missed, "superfluous": mistakes.superfluous,
        "of a wrong class": mistakes.wrong,
    }  # fmt: skip
    return f"F1 {mistakes.f1:.2f} ({', '.join(f'{n} {what}' for what, n in parts.items() if n)})"


def _detection_pair(
    image: np.ndarray, truth: TrueObjects, found: FoundObjects, classes: Sequence[str]
) -> tuple[Image.Image, Image.Image]:
    size = _fitted((image.shape[1], image.shape[0]), PAIR)
    matching = match(truth, found)
    wrong, missed = (matching.hits < 0) & ~matching.ignored, ~truth.crowd
    # Each found object takes the true one it belongs to: the rest was missed.
    missed[matching.hits[matching.hits >= 0]] = False
    pair = []
    for objects, mistaken in ((truth, missed), (found, wrong)):
        names = [
            # With one class the name says nothing, the colour everything.
            classes[label] if mistaken[i] and len(classes) > 1 else ""
            for i, label in enumerate(objects.labels)
        ]
        if objects is truth:
            names = ["crowd" if truth.crowd[i] else name for i, name in enumerate(names)]
        colours = objects.labels if len(classes) > 1 else np.where(mistaken, _MISTAKE, _RIGHT)
        pair.append(_drawn(image, objects, names, colours, size))
    return pair[0], pair[1]


def _drawn(
    image: np.ndarray,
    objects: TrueObjects | FoundObjects,
    names: Sequence[str],
    colours: np.ndarray,
    size: tuple[int, int],
) -> Image.Image:
    """Draw at the size that is shown, so that lines and letters keep theirs."""
    result = Result(
        size=(image.shape[1], image.shape[0]), boxes=objects.boxes, masks=objects.masks,
        labels=names, class_ids=colours.tolist(), image=image,
        scores=objects.scores if isinstance(objects, FoundObjects) else None,
    )  # fmt: skip
    return result.resized(size).plot()


def _named(classes: Sequence[str], labels: set[int]) -> list[tuple[str, int]]:
    return [(classes[label], label) for label in sorted(labels)]


def _semantic_triple(
    worst: WorstMap, classes: Sequence[str]
) -> tuple[tuple[Image.Image, ...], set[int]]:
    size = _fitted((worst.image.shape[1], worst.image.shape[0]), TRIPLE)
    maps = [
        LabelMap(labels=labels, classes=classes, image=worst.image).resized(size)
        for labels in (worst.truth, worst.found)
    ]
    true, found = maps
    # Where the truth is ignored nothing is wrong.
    wrong = (true.labels != found.labels) & (true.labels < len(classes))
    assert true.image is not None
    # Grey, so that the colour of the mistakes stands out.
    grey = true.image.mean(axis=2, keepdims=True).repeat(3, axis=2) * _GREY
    mistakes = np.where(wrong[..., None], np.asarray(_WRONG), grey).astype(np.uint8)
    images = (*(one.plot(text=False) for one in maps), Image.fromarray(mistakes))
    return images, set(true.present) | set(found.present)


def _fitted(size: tuple[int, int], width: int) -> tuple[int, int]:
    """Fit a size into ``width``, or less where it would be too tall."""
    # No side may round to nothing.
    scale = min(width / size[0], _TALLEST * width / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _saved(sheet: Image.Image | None, path: Path) -> list[Path]:
    """Save a sheet; without one an older file of that name goes."""
    if sheet is None:
        # An old sheet would look as if it were of this evaluation.
        path.unlink(missing_ok=True)
        return []
    return [save_image(sheet, path)]
