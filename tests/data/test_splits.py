"""What the parts of a set are called, and what is held out where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketeye.data import load_images
from pocketeye.data.files.splits import (
    SPLITS,
    find_split,
    hold_out,
    known_split,
    spellings,
    split_in,
    splits_among,
    stratified_split,
    validates_on_test,
    validation_names,
)
from pocketeye.errors import InvalidValue
from tests.data.layouts import encoded, make_image, samples, write_parquet, write_tar


def test_every_spelling_has_one_part() -> None:
    names = [name for known in SPLITS.values() for name in known]
    assert len(set(names)) == len(names)
    assert [known_split(name) for name in ("valid", "testing", "2016/val")] == ["val", "test", None]
    assert spellings("validation")[:2] == ("validation", "val")
    assert spellings("minival") == ("minival",)
    assert splits_among({"testing", "training", "images"}) == ("training", "testing")
    assert find_split("val", {"train", "valid"}) == "valid"
    assert find_split("val", {"train", "test"}) is None


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("instances_val2017", "val"),
        ("image_info_test-dev2017", "test"),
        ("toy-validation-0003", "val"),
        ("captions", None),
        ("device", None),
    ],
)
def test_a_files_word_tells_its_split(text: str, split: str | None) -> None:
    assert split_in(text) == split


def test_one_rule_holds_out() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [2])
    rest, held = stratified_split(labels)
    assert np.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]
    assert sorted([*rest, *held]) == list(range(16))
    ours, theirs = hold_out(12)
    assert (len(ours), len(theirs)) == (10, 2)
    assert (ours, theirs) == hold_out(12)
    assert hold_out(1) == ([0], [])
    with pytest.raises(InvalidValue, match="between 0 and 1"):
        stratified_split(labels, 1.0)


def test_test_comes_last_and_is_named() -> None:
    assert validation_names("val")[-2:] == SPLITS["test"][-2:]
    assert not set(validation_names("train")) & set(SPLITS["test"])
    assert validates_on_test("flowers", "valid") is None
    sentence = validates_on_test("flowers", "test")
    assert sentence is not None
    assert "flowers has no validation split" in sentence
    assert "no test results" in sentence


@pytest.mark.parametrize("layout", ["folders", "parquet", "shards"])
@pytest.mark.parametrize("name", ["test", "valid"])
def test_a_set_says_when_test_validates(layout: str, name: str, tmp_path: Path) -> None:
    for split, count in (("train", 4), (name, 2)):
        if layout == "folders":
            for index in range(count):
                make_image(tmp_path / split / f"c{index % 2}" / f"{index}.png", (index, 0, 0))
        elif layout == "parquet":
            rows = [(encoded(i), i % 2) for i in range(count)]
            write_parquet(tmp_path / f"{split}.parquet", rows, ["c0", "c1"])
        else:
            write_tar(tmp_path / f"toy-{split}.tar", samples(0, count))
    assert load_images(tmp_path, "train").problems == ()
    problems = load_images(tmp_path, "val").problems
    assert len(problems) == (name == "test")
    assert all("'test' split stands in" in problem for problem in problems)
