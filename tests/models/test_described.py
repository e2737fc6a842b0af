"""Descriptions of saved networks: the reader names the file and the field that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pocketeye.artifacts.dense import DenseManifest
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import DETECT, INSTANCE, SEGMENT_ANYTHING
from pocketeye.models.weights.described import Description, read_fields, task_in
from pocketeye.predicting.info import ModelInfo

ALL: list[Description] = [
    ModelInfo.default("fbnet_a", ("a", "b"), 3, 32),
    DenseDescription(task=DETECT, backbone="fbnet_a", classes=("a",), category_ids=(7,)),
    TrackerDescription(task=SEGMENT_ANYTHING, variant="x", image_size=(64, 96), trunk="fbnet_a"),
    TrackerDescription(variant="x"),
    DenseManifest(
        task=INSTANCE,
        classes=("a",),
        canvas=(64, 96),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        decoder={
            "num_classes": 1,
            "strides": [4],
            "sizes": [[8]],
            "aspect_ratios": [1.0],
        },
    ),
]


@pytest.mark.parametrize("described", ALL, ids=lambda d: type(d).__name__)
def test_it_is_read_as_it_was_written(described: Description, tmp_path: Path) -> None:
    path = described.save(tmp_path)
    assert path.name == described.FILE
    assert type(described).load(tmp_path) == described
    with pytest.raises(MissingFile, match=rf"is not {described.WHAT}: {path.name} is missing"):
        type(described).load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (ModelInfo, {"classes": 3}, "the field 'classes' should be a list, and is 3"),
        (ModelInfo, {"classes": ["a", 3]}, "the field 'classes[1]' should be text"),
        (ModelInfo, {"input_size": True}, "'input_size' should be a whole number, and is True"),
        (ModelInfo, {"crop_mode": "middle"}, "'crop_mode' should be one of center, warp"),
        (ModelInfo, {"name": None}, "the field 'name' should be text"),
        (ModelInfo, {"more": 1}, "the field 'more', which is not known"),
        (ModelInfo, {"schema": "x"}, "its schema is 'x', not 'pocketeye.model/1'"),
        (DenseDescription, {"task": "detekt"}, "unknown task 'detekt'. Did you mean 'detect'"),
        (DenseDescription, {"task": "track"}, "unknown task 'track'"),
        (DenseDescription, {"architecture": []}, "'architecture' should be an object"),
        (TrackerDescription, {"image_size": [64]}, "'image_size' should be a list of 2"),
        (
            ModelInfo,
            {"input_size": 224000},
            "'input_size' should be a whole number from 1 to 65536",
        ),
        (ModelInfo, {"std": [1.0, 0.0, 1.0]}, "the field 'std[1]' should be a finite number from"),
        (ModelInfo, {"crop_pct": float("nan")}, "the field 'crop_pct' should be a finite number"),
        (ModelInfo, {"num_classes": 3}, "classes has 2 entries, and num_classes is 3"),
        (ModelInfo, {"mean": [0.5]}, "mean has 1 entries, and in_chans is 3"),
        (ModelInfo, {"name": "\ud800"}, "the field 'name' should be text in UTF-8"),
        (DenseDescription, {"category_ids": [1, 2]}, "category_ids has 2 entries"),
        (DenseDescription, {"min_size": 2000}, "min_size 2000 is above max_size 1333"),
        (DenseManifest, {"mean": "grey"}, "the field 'mean' should be a list, and is 'grey'"),
        (DenseManifest, {"decoder": {}}, "the field 'decoder.num_classes' is missing"),
        (
            DenseManifest,
            {"crops_per_run": [-1, 0]},
            "'crops_per_run[0]' should be a whole number from",
        ),
    ],
)
def test_the_field_that_is_wrong_is_named(
    kind: type[Description], changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    described = next(one for one in ALL if isinstance(one, kind))
    path = described.save(tmp_path)
    path.write_text(json.dumps({**described.to_dict(), **changes}))
    with pytest.raises(InvalidValue) as caught:
        kind.load(tmp_path)
    assert str(caught.value).startswith(f"{path} is not a description of {kind.WHAT}: ")
    assert words in str(caught.value)


def test_what_is_missing_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text('{"schema": "pocketeye.dense/1", "task": "detect"}')
    with pytest.raises(InvalidValue, match="the field 'backbone' is missing"):
        DenseDescription.load(tmp_path)
    with pytest.raises(InvalidValue, match="the field 'name' is missing"):
        read_fields(path, name=str)
    assert task_in(path) is DETECT
    path.write_text('{"schema": "pocketeye.dense/1"}')
    with pytest.raises(InvalidValue, match="the field 'task' is missing"):
        task_in(path)
    for text, words in (("{", "it is damaged"), ("[]", "it holds no JSON object")):
        path.write_text(text)
        for read in (task_in, read_fields):
            with pytest.raises(InvalidValue, match=words):
                read(path)
