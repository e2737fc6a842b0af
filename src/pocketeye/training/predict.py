"""Class probabilities of pictures that have no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pocketeye import progress
from pocketeye.data import SUFFIXES, UnreadableImage, decode
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.metrics.classification import softmax
from pocketeye.training.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The likeliest classes of one picture, likeliest first; probabilities are 0 to 1."""

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the pictures below them, sorted.

    Raises:
        MissingFile: a path that is not there. InvalidValue: no picture in any of them.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise MissingFile(f"no picture at {path}")
    if not found:
        raise InvalidValue(f"no pictures in {', '.join(map(str, paths)) or 'an empty list'}")
    return found


def predict(
    predictor: Predictor, paths: Sequence[Path], *, topk: int = 5, batch_size: int = 32
) -> tuple[list[Prediction], list[str]]:
    """(Predictions, sentences about pictures that cannot be read).

    Args:
        predictor: from ``open_predictor``.
        paths: picture files.
        topk: classes per picture, at most as many as there are.
        batch_size: pictures at once.

    Raises:
        InvalidValue: ``topk`` below 1, or none of the pictures can be read.
    """
    if topk < 1:
        raise InvalidValue(f"topk must be at least 1, got {topk}")
    transform, info = predictor.info.transform(), predictor.info
    predictions: list[Prediction] = []
    problems: list[str] = []
    with progress.task("predicting", len(paths)) as bar:
        for start in range(0, len(paths), batch_size):
            read, inputs = [], []
            for path in paths[start : start + batch_size]:
                try:
                    inputs.append(transform(decode(path, info.in_chans)))
                    read.append(path)
                except UnreadableImage as error:
                    problems.append(f"{path}: {error}")
            if inputs:
                shares = softmax(predictor.logits(torch.stack(inputs)))
                predictions += [
                    _best(path, row, info.classes, topk)
                    for path, row in zip(read, shares, strict=True)
                ]
            bar.advance(min(batch_size, len(paths) - start))
    if not predictions:
        raise InvalidValue(f"none of {len(paths)} pictures can be read; first: {problems[0]}")
    return predictions, problems


def _best(path: Path, shares: Sequence[float], classes: tuple[str, ...], topk: int) -> Prediction:
    order = sorted(range(len(classes)), key=lambda index: -shares[index])[:topk]
    return Prediction(
        path=path,
        classes=tuple(classes[index] for index in order),
        probabilities=tuple(float(shares[index]) for index in order),
    )
