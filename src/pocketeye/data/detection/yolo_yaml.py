"""Read the yaml of a YOLO set: names of the classes, and the images of each split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.data.files import (
    SUFFIXES,
    Problems,
    files_in,
    find_inside,
    leads_out,
    missing_text,
    path_parts,
    read_lines,
    read_yaml_as_written,
    spellings,
    splits_among,
    walk,
)
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.reading import exists, is_folder
from pocketeye.text import some

_NOTHING = ("", "~", "null", "Null", "NULL")  # how YAML writes that there is nothing


@dataclass(frozen=True, kw_only=True)
class Content:
    """Hold what a yaml says.

    Attributes:
        file: the yaml.
        base: folder of the set, which ``path`` names; else the folder of the yaml.
        names: of the classes, in the order of their numbers.
        entries: folders or lists of images, as they are written, by split.
    """

    file: Path
    base: Path
    names: tuple[str, ...]
    entries: dict[str, tuple[str, ...]]

    def texts(self) -> Iterator[Path]:
        """Yield all text files of the set."""
        for name, _ in walk(self.base):
            if name.lower().endswith(".txt"):
                yield self.base / name


def yaml_of(root: Path) -> Path | None:
    """Return the yaml of a set with ``names`` and splits; None where there is none."""
    if root.is_file():
        return root
    files = files_in(root, ".yaml", ".yml")
    # data.yaml is usual; others may be of training programs.
    usual = [file for file in files if file.stem.lower() in ("data", "dataset")]
    ordered = (*usual, *(file for file in files if file not in usual))
    return next((file for file in ordered if _is_ours(file)), None)


def yolo_splits(root: Path) -> tuple[str, ...]:
    """Return the splits that the yaml names."""
    file = yaml_of(root)
    content = read_yaml_as_written(file) if file else {}
    return splits_among(_entries(content)) if isinstance(content, dict) else ()


def read_yolo_yaml(file: Path) -> Content:
    """Read a yaml.

    Raises:
        InvalidValue: no yaml, no mapping, or without names.
    """
    content = read_yaml_as_written(file)
    if not isinstance(content, dict):
        raise InvalidValue(f"{file} is no yaml of a YOLO set: expected names, train and val")
    path = content.get("path")
    # Windows writes backslashes.
    base = file.parent / (path.replace("\\", "/") if isinstance(path, str) else "")
    return Content(
        file=file,
        base=base
        if is_folder(base)
        else file.parent,  # it may have been written on another machine
        names=_names(file, content.get("names")),
        entries=_entries(content),
    )


def split_images(content: Content, split: str | None, problems: Problems) -> list[Path]:
    """Return the images of a split, or of all, sorted; those a list names need not exist.

    Raises:
        MissingFile: no such split, or a folder or list that is not there.
        InvalidValue: a folder or list outside of the set.
    """
    there = splits_among(content.entries)
    wanted = there if split is None else [n for n in spellings(split) if n in there][:1]
    if not wanted:
        raise MissingFile(
            f"{content.file} has no split {split!r}; there is {some(there) or 'none'}"
        )
    images: list[Path] = []
    for name in wanted:
        for entry in content.entries[name]:
            images += _images_of(content, entry, problems)
    return sorted(set(images))


def _is_ours(file: Path) -> bool:
    try:
        content = read_yaml_as_written(file)
    except InvalidValue:
        return file.stem == "data"  # meant to be one: say what is wrong when it is read
    return isinstance(content, dict) and "names" in content and bool(_entries(content))


def _entries(content: dict[Any, Any]) -> dict[str, tuple[str, ...]]:
    found = {}
    for name in splits_among({key for key in content if isinstance(key, str)}):
        # One folder, or a list of them.
        given = content[name]
        entries = given if isinstance(given, list) else [given]
        texts = tuple(each for each in entries if isinstance(each, str) and each not in _NOTHING)
        if texts:
            found[name] = texts
    return found


def _names(file: Path, names: Any) -> tuple[str, ...]:
    """Read names from a list, or a mapping of 0, 1, 2 … to names."""
    if isinstance(names, dict):
        numbered = {int(key): name for key, name in names.items() if str(key).isdecimal()}
        # Numbers with gaps would move the classes.
        complete = len(numbered) == len(names) and sorted(numbered) == list(range(len(names)))
        names = [numbered[number] for number in range(len(names))] if complete else None
    plain = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not plain or not names:
        raise InvalidValue(f"{file}: names must be a list, or numbers from 0 up with a name each")
    return tuple(names)


def _images_of(content: Content, entry: str, problems: Problems) -> list[Path]:
    """List the images of a folder of the set, or those that a list in it names."""
    place = _inside(content, entry)
    if place.is_dir():
        return [place / name for name, _ in walk(place) if Path(name).suffix.lower() in SUFFIXES]
    images = []
    for line in read_lines(place):
        # Lists name files from where they lie themselves, from the set's folder, or from a root.
        folders = (place.parent, content.base)
        found = next(((f, name) for f in folders if (name := find_inside(f, line))), None)
        if found is not None:
            images.append(found[0] / found[1])
        else:
            problems.add(line, f"{missing_text(line)}: left out")
    return images


def _inside(content: Content, entry: str) -> Path:
    """Return the folder or list that an entry names: as written, else the longest end that exists.

    Roboflow writes ``../train/images`` for what lies beside its yaml.
    """
    parts = path_parts(entry)
    # Roboflow climbs out of the yaml's own folder, into which the set was unpacked.
    last_climb = max((at for at, part in enumerate(parts) if part == ".."), default=-1)
    tails = ["/".join(parts[start:]) for start in range(last_climb + 1, len(parts))]
    for base in (content.base, content.file.parent):
        if Path(entry).is_absolute() and Path(entry).is_relative_to(base):
            tails.insert(0, str(Path(entry).relative_to(base)))
    for tail in (tails or ["."]) if parts or entry in (".", "./") else ():
        for base in (content.base, content.file.parent):
            if exists(base / tail):
                return base / tail
    if leads_out(entry) and exists(content.base / entry):
        raise InvalidValue(
            f"{content.file} names {entry}, which lies outside of the set ({content.base}): write "
            "the folder that holds all of it as `path:` into the yaml"
        )
    raise MissingFile(
        f"{content.file} names {entry}, which is not there (looked in {content.base})"
    )
