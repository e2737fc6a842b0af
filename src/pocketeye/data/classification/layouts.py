"""Tell the layout of a folder of labelled images, and list one split of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pocketeye.data.classification.folders import class_folders, list_folder
from pocketeye.data.classification.labelled import has_tags, list_tags, tag_splits
from pocketeye.data.classification.parquet import (
    find_parquet,
    has_parquet,
    list_parquet,
    split_of_parquet,
)
from pocketeye.data.classification.webdataset import (
    class_names,
    find_shards,
    has_shards,
    list_shards,
    split_of_shard,
)
from pocketeye.data.files import (
    SPLITS,
    Listing,
    stratified_split,
    validates_on_test,
    validation_names,
)
from pocketeye.errors import InvalidValue

Split = Literal["train", "val"]


def list_split(root: Path, split: Split) -> Listing:
    """List a folder or file; a fifth of every class is split off where there is one split only.

    Raises:
        InvalidValue: no layout that is known, or a damaged one.
    """
    # By their content: images of such a set may lie in folders that would pass for classes.
    if has_tags(root):
        return _list_tags(root, split)
    if root.is_file():
        if root.suffix.lower() == ".parquet":
            return _part(list_parquet([root]), split)
        if root.suffix.lower() == ".tar":
            return _part(list_shards([root], class_names(root.parent)), split)
        raise InvalidValue(f"{root} is no data set: expected a folder, a .parquet or a .tar file")
    if has_parquet(root):
        # Parquet first: folders of that layout may hold images too.
        return _list_parquet(root, split)
    train, val = _child(root, "train"), _child(root, "val")
    # archives often lie beside the folders they were unpacked into
    unpacked = any(class_folders(folder) for folder in (train, val) if folder)
    if has_shards(root) and not unpacked:
        return _list_shards(root, split)
    return _list_folder(root, train, val, split)


def _list_folder(root: Path, train: Path | None, val: Path | None, split: Split) -> Listing:
    if train is None and val is None:
        return _part(list_folder(root), split)
    if split == "train" and train is None:
        raise InvalidValue(f"{root} has no folder named train, only {val.name if val else ''}")
    if train is not None and val is None:
        return _part(list_folder(train), split)
    if train is not None and split == "train":
        return list_folder(train)
    assert val is not None
    # The training split fixes the labels.
    listing = list_folder(val, class_folders(train) if train is not None else None)
    return listing.with_problem(validates_on_test(root, val.name))


def _list_tags(root: Path, split: Split) -> Listing:
    there = tag_splits(root)
    found = next((name for name in validation_names(split) if name in there), None)
    if found is None and split == "train" and there:
        raise InvalidValue(f"{root} has no part named train, only {', '.join(there)}")
    if not there or (split == "val" and found is None) or set(there) <= {*SPLITS["train"]}:
        return _part(list_tags(root, None), split)
    return list_tags(root, found).with_problem(validates_on_test(root, str(found)))


def _list_parquet(root: Path, split: Split) -> Listing:
    train, val = find_parquet(root, "train"), find_parquet(root, "val")
    if not (train or val):
        raise InvalidValue(f"{root} has parquet files, but none named train* or val*, test*")
    if split == "train" and not train:
        raise InvalidValue(f"{root} has no train*.parquet")
    if not val:
        return _part(list_parquet(train), split)
    if split == "train":
        return list_parquet(train)
    listing = list_parquet(val, list_parquet(train).classes if train else None)
    return listing.with_problem(validates_on_test(root, split_of_parquet(val[0])))


def _list_shards(root: Path, split: Split) -> Listing:
    train, val = find_shards(root, "train"), find_shards(root, "val")
    if not (train or val):
        raise InvalidValue(
            f"{root} has .tar files, but none with train or val, validation, test in its name"
        )
    if split == "train" and not train:
        raise InvalidValue(f"{root} has no shards of training data (*train*.tar)")
    names = class_names(root)
    if not val:
        return _part(list_shards(train, names), split)
    if split == "train":
        return list_shards(train, names)
    # The classes of training, where no file names them.
    known = list_shards(train, None).classes if train and names is None else None
    listing = list_shards(val, names, known)
    return listing.with_problem(validates_on_test(root, split_of_shard(val[0])))


def _child(root: Path, split: Split) -> Path | None:
    names = validation_names(split)
    return next((root / name for name in names if (root / name).is_dir()), None)


def _part(listing: Listing, split: Split) -> Listing:
    # The same fifth in every call.
    rest, part = stratified_split(listing.labels)
    return listing.take(rest if split == "train" else part)
