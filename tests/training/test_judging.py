"""A training that came to nothing says so; one that cannot come to anything does not begin."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from torch import nn

from pocketeye.data.files.splits import validates_on_test
from pocketeye.errors import InvalidValue
from pocketeye.training.engine.before import (
    require_classes,
    require_objects,
    require_trainable,
    warn_of_frozen,
    warn_of_test_split,
)
from pocketeye.training.engine.reporting.judging import (
    NUM_FOUND,
    NUM_OBJECTS,
    ONE_ANSWER,
    ONE_CLASS,
    PIXELS,
    best_row,
    chance_of,
    doubts_of_training,
    shares,
)

CLASSES = {"num_classes": 10, "num_val": 200}


def doubts(row: dict, key: str = "val/top1", **changes) -> list[str]:
    given = {"num_classes": None, "num_val": 200, **changes}
    return [doubt.what for doubt in doubts_of_training(row, key, "top-1", **given)]


def test_shares_of_truth_and_answers():
    assert shares(np.array([3, 1]), np.array([0, 4])) == {ONE_CLASS: 0.75, ONE_ANSWER: 1.0}
    assert all(math.isnan(share) for share in shares(np.zeros(2), np.zeros(2)).values())


def test_the_best_epoch_where_some_have_no_value():
    rows = [{"v": math.nan, "epoch": 0}, {"v": 0.3, "epoch": 1}, {"v": 0.2, "epoch": 2}]
    assert best_row(rows, "v")["epoch"] == 1
    assert best_row([rows[0], {"v": math.nan, "epoch": 1}], "v")["epoch"] == 1


def test_classifiers():
    good = {"val/top1": 0.8, ONE_CLASS: 0.1, ONE_ANSWER: 0.12}
    assert doubts(good, **CLASSES) == []
    assert "10.0 % by guessing among 10 classes" in chance_of(good, 10)
    assert doubts({**good, "val/top1": 0.13}, **CLASSES) == ["no better than chance"]
    assert doubts({**good, "val/top1": 0.8, ONE_CLASS: 0.8}, **CLASSES) == ["no better than chance"]
    assert doubts({**good, ONE_ANSWER: 1.0}, **CLASSES) == ["one class is said of everything"]
    assert doubts({**good, ONE_CLASS: 1.0}, **CLASSES) == ["validation has a single class"]
    assert doubts({"val/top1": math.nan}, **CLASSES) == ["there is no top-1"]
    # Outputs that are nan are wrong answers: not a network that says one class of everything.
    assert doubts({"val/top1": 0.0, "val/loss": math.nan}, **CLASSES) == [
        "the network computes no numbers"
    ]


def test_segmenters_are_judged_by_their_pixels():
    good = {"val/miou": 0.3, PIXELS: 0.8, ONE_CLASS: 0.4, ONE_ANSWER: 0.5}
    assert doubts(good, "val/miou", **CLASSES) == []
    assert doubts({**good, PIXELS: 0.4}, "val/miou", **CLASSES) == ["no better than chance"]


def test_detectors():
    row = {"val/ap": 0.3, NUM_OBJECTS: 9.0, NUM_FOUND: 12.0}
    assert doubts(row, "val/ap") == []
    assert doubts({**row, "val/ap": 0.001}, "val/ap") == ["hardly anything is found"]
    assert doubts({**row, "val/ap": math.nan, NUM_OBJECTS: 0.0}, "val/ap") == [
        "there is nothing to find"
    ]
    assert chance_of(row, None) == ""


def test_before_a_training(caplog):
    for classes in (("cat",), ()):
        with pytest.raises(InvalidValue, match="single class"):
            require_classes(classes, "pets")
    require_classes(("cat", "dog"), "pets")
    with pytest.raises(InvalidValue, match=r"'caf\\udce9' of pets is not Unicode"):
        require_classes(("cat", os.fsdecode(b"caf\xe9")), "pets")
    with pytest.raises(InvalidValue, match="not one annotated object"):
        require_objects(0, 3, "a (train)", "a (val)")
    require_objects(3, 3, "a (train)", "a (val)")
    assert not caplog.records
    require_objects(3, 0, "a (train)", "a (val)")
    assert "a (val) has not one annotated object" in caplog.text


def test_a_test_split_that_chooses_the_epoch_is_said_before(caplog):
    sentence = validates_on_test("pets", "test")
    warn_of_test_split(["3 images are damaged", sentence])
    assert [record.message for record in caplog.records] == [sentence]


def test_what_does_not_learn(caplog):
    network = nn.Linear(2, 2)
    require_trainable(network, "it")
    warn_of_frozen("the trunk", has_weights=True)
    assert not caplog.records
    warn_of_frozen("the trunk", has_weights=False)
    assert "weights are random" in caplog.text
    with pytest.raises(InvalidValue, match="nothing of it would be trained"):
        require_trainable(network.requires_grad_(False), "it")
