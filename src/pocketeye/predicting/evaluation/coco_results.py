"""Write found objects as the json that COCO's server takes, and read such files."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data import DetectionSet
from pocketeye.errors import InvalidValue
from pocketeye.metrics import FoundObjects, found_objects
from pocketeye.reading import MOST_ANNOTATION_BYTES, read_json, require_file
from pocketeye.results.masks import CompactMask, Masks
from pocketeye.runs import write_atomic

ImageId = int | str


def image_ids(samples: DetectionSet) -> tuple[ImageId, ...]:
    # A set of several jsons may use an id twice.
    """Return the ids of a set's images; their numbers where the ids are not unique."""
    ids = samples.objects.image_ids
    return ids if len(set(ids)) == len(ids) else tuple(range(len(ids)))


def result_rows(
    found: Mapping[ImageId, FoundObjects], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Return per object ``image_id, category_id, bbox, score`` and, with masks, ``segmentation``."""
    rows: list[dict[str, Any]] = []
    for image_id, objects in found.items():
        # COCO writes corner and size, metrics take two corners.
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        boxes = np.concatenate([objects.boxes[:, :2], sides], axis=1).tolist()
        masks = [None] * len(objects) if objects.masks is None else objects.masks.to_rle()
        columns = zip(objects.labels.tolist(), boxes, objects.scores.tolist(), masks, strict=True)
        for label, box, score, mask in columns:
            row = {
                "image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score,
            }  # fmt: skip
            rows.append(row if mask is None else {**row, "segmentation": mask})
    return rows


def save_results(
    found: Mapping[ImageId, FoundObjects], category_ids: Sequence[int], path: Path
) -> Path:
    """Write found objects as COCO's server takes them, so that others can judge them again."""
    return write_atomic(path, json.dumps(result_rows(found, category_ids)) + "\n")


def read_results(path: Path, samples: DetectionSet, *, masks: bool) -> dict[ImageId, FoundObjects]:
    """Read the results of another program, in the labels of ``samples``.

    Args:
        path: a json list of results, or COCO's json whose annotations have scores.
        samples: the images they are of.
        masks: read the segmentations too.

    Raises:
        MissingFile: no such file.
        InvalidValue: not such a json, images or categories the set does not have, or a result that
            lacks something; nothing is judged then.
    """
    rows = _rows(path)
    known = set(image_ids(samples))
    labels = {category: label for label, category in enumerate(samples.category_ids)}
    # Before anything is computed: results of another set would only lower the score.
    _refuse_unknown(path, "image_id", (row.get("image_id") for row in rows), known, samples.source)
    _refuse_unknown(
        path, "category_id", (row.get("category_id") for row in rows), labels, samples.source
    )
    by_image: dict[ImageId, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_image[row["image_id"]].append(row)
    # COCO's masks do not say the size of their image.
    sizes = dict(zip(image_ids(samples), samples.objects.sizes.tolist(), strict=True))
    return {
        image_id: _found(path, own, labels, (sizes[image_id][0], sizes[image_id][1]), masks)
        for image_id, own in by_image.items()
    }


def has_masks(path: Path) -> bool:
    """Tell whether the objects in a file of COCO results have segmentations.

    Raises:
        InvalidValue, MissingFile: as :func:`read_results`.
    """
    return any("segmentation" in row for row in _rows(path))


def _rows(path: Path) -> list[dict[str, Any]]:
    require_file(path, f"no results at {path} (give a json of COCO results)")
    content = read_json(path, MOST_ANNOTATION_BYTES)
    rows = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidValue(
            f"{path} holds no COCO results: expected a list of "
            '{"image_id": …, "category_id": …, "bbox": [x, y, width, height], "score": …}'
        )
    return rows


def _refuse_unknown(
    path: Path, key: str, values: Iterable[Any], known: Iterable[Any], source: str
) -> None:
    # In the order of the set, without repetition: it is shown.
    allowed = dict.fromkeys(known)
    strange = Counter(
        json.dumps(value) for value in values if not _hashable(value) or value not in allowed
    )
    if strange:
        shown = ", ".join(list(strange)[:3]) + (" …" if len(strange) > 3 else "")
        some = ", ".join(str(value) for value in list(allowed)[:3])
        more = " …" if len(allowed) > 3 else ""
        raise InvalidValue(
            f"{path}: {sum(strange.values())} results have {key} {shown}, which {source} does not "
            f"have (it has {some}{more})"
        )


def _hashable(value: Any) -> bool:
    # JSON's true is 1 to Python: it is no id.
    return isinstance(value, int | str) and not isinstance(value, bool)


def _found(
    path: Path,
    rows: list[dict[str, Any]],
    labels: Mapping[int, int],
    size: tuple[int, int],
    masks: bool,
) -> FoundObjects:
    """Read the results of one image of (width, height)."""
    items: list[CompactMask] = []
    corners, scores = [], []
    try:
        for row in rows:
            if masks:
                items.append(CompactMask.from_rle(row["segmentation"]))
            # Results of segmentation often lack boxes: those of the masks stand for them.
            corners.append(_corners(row["bbox"]) if "bbox" in row or not masks else items[-1].box)
            scores.append(float(row["score"]))
        made = Masks(size=size, items=tuple(items)) if masks else None
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidValue(
            f"{path}: a result of the image {rows[0]['image_id']} cannot be used: {what}"
        ) from error
    return found_objects(corners, [labels[row["category_id"]] for row in rows], scores, made)


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in box)
    return x, y, x + width, y + height
