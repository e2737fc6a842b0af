"""Parquet in the Hugging Face layout: a column of pictures, a column of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data._listing import TRAIN_NAMES, VAL_NAMES, Listing
from pocketeye.errors import InvalidValue

_IMAGE_COLUMNS = ("image", "img", "picture", "png", "jpg")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")


def find_parquet(root: Path, split: str) -> list[Path]:
    """Files of a split in ``root`` or ``root/data``: ``train.parquet``, ``train-00000-of-….parquet``.

    For ``val`` the first of val, validation, valid and test that exists is taken.
    """
    wanted = TRAIN_NAMES if split == "train" else VAL_NAMES
    for name in wanted:
        for folder in (root, root / "data"):
            files = sorted(
                p for p in folder.glob(f"{name}*.parquet") if p.stem.split("-")[0] == name
            )
            if files:
                return files
    return []


def has_parquet(root: Path) -> bool:
    """Whether ``root`` or ``root/data`` holds parquet files."""
    return any(True for folder in (root, root / "data") for _ in folder.glob("*.parquet"))


def list_parquet(files: list[Path]) -> Listing:
    """Read the encoded pictures and labels of one split.

    Class names come from the schema's ``ClassLabel`` feature, else from the labels themselves.

    Raises:
        InvalidValue: damaged file, no picture or label column, no rows, or labels out of range.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(files[0])
        features = _features(schema)
        image_column, label_column = _columns(schema.names, features, files[0])
        table = pa.concat_tables(
            [parquet.read_table(f, columns=[image_column, label_column]) for f in files]
        )
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidValue(f"{files[0]} is not a readable parquet file: {reason}") from error
    if table.num_rows == 0:
        raise InvalidValue(f"{files[0]} holds no rows")
    encoded, problems, keep = _pictures(table[image_column].to_pylist())
    names = features.get(label_column, {}).get("names")
    classes, labels = _labels(table[label_column].to_pylist(), names, files[0])
    return Listing(
        classes=classes,
        labels=labels[keep],
        encoded=encoded,
        names=[f"row {row}" for row in keep],
        problems=tuple(problems),
    )


def _features(schema: Any) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        features = json.loads(raw)["info"]["features"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return {}
    return {k: v for k, v in features.items() if isinstance(v, dict)}


def _columns(names: list[str], features: dict[str, Any], file: Path) -> tuple[str, str]:
    def pick(kind: str, usual: tuple[str, ...], what: str) -> str:
        typed = [k for k, v in features.items() if v.get("_type") == kind and k in names]
        named = [name for name in usual if name in names]
        if not (named or typed):
            raise InvalidValue(
                f"{file} has no column of {what} (looked for {', '.join(usual)}; it has "
                f"{', '.join(names)})"
            )
        return next((name for name in named if name in typed), (typed or named)[0])

    return pick("Image", _IMAGE_COLUMNS, "pictures"), pick("ClassLabel", _LABEL_COLUMNS, "labels")


def _pictures(values: list[Any]) -> tuple[list[bytes | Path], list[str], np.ndarray]:
    encoded: list[bytes | Path] = []
    problems: list[str] = []
    keep: list[int] = []
    for row, value in enumerate(values):
        data = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(data, bytes) and data:
            encoded.append(data)
            keep.append(row)
        else:
            problems.append(f"row {row}: no bytes")
    return encoded, problems, np.asarray(keep, np.int64)


def _labels(
    values: list[Any], names: list[str] | None, file: Path
) -> tuple[tuple[str, ...], np.ndarray]:
    if any(value is None for value in values):
        raise InvalidValue(f"{file} has {values.count(None)} rows without a label")
    if all(isinstance(value, str) for value in values):
        classes = tuple(names) if names else tuple(sorted(set(values)))
        places = {name: i for i, name in enumerate(classes)}
        if foreign := sorted(set(values) - set(places)):
            raise InvalidValue(f"{file} has labels outside its classes: {', '.join(foreign[:5])}")
        return classes, np.asarray([places[v] for v in values], np.int64)
    if not all(isinstance(value, int) for value in values):
        raise InvalidValue(f"{file}: labels must be whole numbers or names")
    labels = np.asarray(values, np.int64)
    count = len(names) if names else int(labels.max()) + 1
    if labels.min() < 0 or labels.max() >= count:
        raise InvalidValue(
            f"{file}: labels run from {labels.min()} to {labels.max()}, but there are {count} classes"
        )
    return tuple(names) if names else tuple(str(i) for i in range(count)), labels
