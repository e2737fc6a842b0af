"""Read WebDataset: tar shards whose members share a basename, as ``0001.jpg`` and ``0001.cls``.

The headers are read once, nothing is extracted, and an image is read with one seek. Names of
members are never used as paths.
"""

from __future__ import annotations

import re
import tarfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pocketeye import progress
from pocketeye.data.files import (
    Listing,
    Names,
    Problems,
    UnreadableImage,
    files_in,
    looks_like_image,
    read_text,
    require_known,
    split_in,
    validation_names,
)
from pocketeye.errors import InvalidValue
from pocketeye.reading import open_regular, parse_json
from pocketeye.text import some

_IMAGES = frozenset(("jpg", "jpeg", "png", "webp"))
_CLASS_FILES = ("classes.txt", "classnames.txt", "dataset_info.json")
_MOST_LABEL_BYTES = 1 << 20  # a longer .json holds no label, and would fill the memory
_MOST_CLASSES = 100_000  # a number above is an id, not a class
_MOST_PADDING = 1 << 16  # tar fills up to 10 kB; more behind its end are shards put together
_HEAD = 16  # bytes that tell an image from something else


def find_shards(root: Path, split: str) -> list[Path]:
    """Find ``root/*.tar`` with the split as a word of the name, or all in ``root/train``.

    For ``val`` the first that exists of its names is taken, ``test`` where there is none.
    """
    for name in validation_names(split):
        shards = files_in(root, ".tar")
        found = [p for p in shards if name in re.split(r"[-_.]", p.name.lower())]
        if found := found or files_in(root / name, ".tar"):
            return found
    return []


def split_of_shard(file: Path) -> str:
    """Return the split that a shard of :func:`find_shards` is named for, or its folder."""
    return split_in(file.name) or file.parent.name


def has_shards(root: Path) -> bool:
    """Tell whether there are shards where :func:`find_shards` looks."""
    named = any(find_shards(root, split) for split in ("train", "val"))
    return named or bool(files_in(root, ".tar"))


@dataclass(frozen=True)
class TarSource:
    """Locate images inside ``shards``: arrays ``(N,)`` say in which, from which byte, and how many."""

    shards: tuple[Path, ...]
    names: Names
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    @property
    def total_bytes(self) -> int:
        return int(self.size.sum())

    def read(self, row: int) -> bytes:
        path = self.shards[self.shard[row]]
        size = int(self.size[row])
        try:
            # opened each time (15 µs): nothing is shared with the processes of a loader
            with path.open("rb", buffering=0) as file:
                file.seek(int(self.offset[row]))
                data = file.read(size)
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error
        if len(data) < size:
            raise UnreadableImage(f"{path.name} ends too early")
        return data

    def name(self, row: int) -> str:
        return f"{self.shards[self.shard[row]].name}/{self.names[row]}"

    def marks(self, rows: np.ndarray) -> Iterator[bytes]:
        for row in rows:
            yield f"{self.names[row]}\0{self.size[row]}\n".encode("utf-8", "surrogateescape")

    def check(self, rows: np.ndarray, advance: Callable[[int], None]) -> dict[int, str]:
        """Check nothing more: the index has seen the first bytes of each."""
        advance(len(rows))
        return {}


@dataclass
class _TarSample:
    """Gather what has one basename: ``image`` is (offset, bytes), ``trouble`` what is wrong."""

    key: str
    image: tuple[int, int] | None = None
    trouble: str = ""
    label: str | None = None
    why: str = ""

    @property
    def complete(self) -> bool:
        return self.image is not None and self.label is not None


@dataclass
class _Index:
    """Gather samples as they are found. ``code`` is the place of the label's text in ``texts``."""

    names: Names = field(default_factory=Names)
    shard: Any = field(default_factory=lambda: array("i"))
    offset: Any = field(default_factory=lambda: array("q"))
    size: Any = field(default_factory=lambda: array("q"))
    code: Any = field(default_factory=lambda: array("i"))
    texts: dict[str, int] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)

    def add(self, number: int, sample: _TarSample, name: str) -> None:
        """Keep a complete sample, name an incomplete one."""
        if sample.image is None:
            self.problems.add(name, "no image")
        elif sample.label is None:
            self.problems.add(name, sample.why or "no label")
        elif sample.trouble:
            self.problems.add(name, sample.trouble)
        else:
            self.names.append(sample.key)
            self.shard.append(number)
            self.offset.append(sample.image[0])
            self.size.append(sample.image[1])
            self.code.append(self.texts.setdefault(sample.label, len(self.texts)))


def list_shards(
    shards: list[Path], names: tuple[str, ...] | None, known: tuple[str, ...] | None = None
) -> Listing:
    """Index one split.

    Args:
        shards: its tar files.
        names: from a file beside the shards (``class_names``): a label that is none of them is left
            out and named.
        known: else the classes of the training split.

    Raises:
        InvalidValue: a shard that is no tar, no complete sample, or an unknown class.
    """
    try:
        stats = [(path, path.stat()) for path in shards]
    except OSError as error:
        raise InvalidValue(f"{error.filename} cannot be read: {error.strerror}") from error
    # Size and time of the shards: a changed one is indexed again.
    index = _indexed(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))
    if not len(index.names):
        first = next(iter(index.problems), "they are empty")
        raise InvalidValue(f"{_some_shards(shards)}: no image with a label in them; {first}")
    classes, table = _classes(index.texts, names, known, _some_shards(shards))
    labels = table[np.asarray(index.code, np.int64)]
    source = TarSource(
        shards=tuple(shards),
        names=index.names,
        shard=np.asarray(index.shard, np.int32),
        offset=np.asarray(index.offset, np.int64),
        size=np.asarray(index.size, np.int64),
    )
    rows = np.flatnonzero(labels >= 0)
    problems = Problems()
    for row in np.flatnonzero(labels < 0):
        problems.add(source.name(int(row)), f"its label is none of the {len(classes)} classes")
    if not len(rows):
        raise InvalidValue(f"{_some_shards(shards)}: {next(iter(problems))}, nor that of any other")
    return Listing(
        classes=classes,
        labels=labels[rows],
        source=source,
        rows=rows,
        problems=(*index.problems, *problems),
    )


def class_names(root: Path) -> tuple[str, ...] | None:
    """Read names of classes from a file beside the shards; None where there is none.

    These are ``classes.txt`` or ``classnames.txt`` (one a line) and ``dataset_info.json``.

    Raises:
        InvalidValue: the file holds something else.
    """
    for path in (root / name for name in _CLASS_FILES):
        if not path.is_file():
            continue
        try:
            text = read_text(path)
            names = _from_info(parse_json(text)) if path.suffix == ".json" else text.splitlines()
        except (OSError, ValueError) as error:
            raise InvalidValue(f"{path} cannot be read: {error}") from error
        names = [name.strip() for name in names if name.strip()]
        if len(set(names)) < len(names):
            raise InvalidValue(f"{path} names a class twice")
        if names:
            return tuple(names)
    return None


def _from_info(data: Any) -> list[str]:
    """Return the names of the first ``ClassLabel`` in a ``dataset_info.json`` of Hugging Face."""
    features = data.get("features") if isinstance(data, dict) else None
    for feature in features.values() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and isinstance(feature.get("names"), list):
            return [str(name) for name in feature["names"]]
    return []


def _classes(
    texts: dict[str, int],
    names: tuple[str, ...] | None,
    known: tuple[str, ...] | None,
    where: str,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names, and the label of every text: -1 for one that is no class."""
    # Labels are numbers if all are; otherwise 7 is a name.
    numeric = all(re.fullmatch(r"[+-]?\d{1,9}", text) for text in texts)
    given = names or known
    if numeric and (given is None or not set(texts) <= set(given)):
        values = np.asarray([int(text) for text in texts], np.int64)
        # One absurd number must not make a hundred million classes.
        usable = values[(values >= 0) & (values < _MOST_CLASSES)]
        count = len(given) if given else int(usable.max(initial=-1)) + 1
        if names is None and known is not None:
            require_known([str(v) for v in values if v >= count], known, where)
        fits = (values >= 0) & (values < count)
        classes = given or tuple(str(i) for i in range(count))
        return classes, np.where(fits, values, -1)
    classes = given or tuple(sorted(texts))
    if names is None:
        require_known(list(texts), classes, where)
    places = {name: i for i, name in enumerate(classes)}
    return classes, np.asarray([places.get(text, -1) for text in texts], np.int64)


@lru_cache(maxsize=2)  # the validation split asks for the classes of the training split
def _indexed(shards: tuple[tuple[Path, int, int], ...]) -> _Index:
    index = _Index()
    with progress.task(f"indexing {len(shards)} shards", len(shards)) as bar:
        for number, (path, size, _) in enumerate(shards):
            _index_shard(path, size, number, index)
            bar.advance()
    return index


def _index_shard(path: Path, size: int, number: int, index: _Index) -> None:
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            _index_members(tar, file, size, number, index)
            if trouble := _at_the_end(file, tar.offset, size):
                index.problems.add(path.name, trouble)
    except tarfile.ReadError as error:
        count = index.shard.count(number)
        if count == 0:
            raise InvalidValue(f"{path} is no tar file that can be read: {error}") from error
        index.problems.add(path.name, f"damaged after {count} samples ({error})")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}") from error


def _index_members(
    tar: tarfile.TarFile, file: BinaryIO, size: int, number: int, index: _Index
) -> None:
    """Group members that follow each other with one basename."""
    shard = Path(str(tar.name or file.name)).name
    sample: _TarSample | None = None
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
            # A member beyond the end means a shard that was cut off.
            if member.size < 0 or member.offset_data + member.size > size:
                raise tarfile.ReadError("unexpected end of data")
            folder, _, base = member.name.rpartition("/")
            key, _, kind = base.partition(".")
            # Names that begin with a dot are of the system.
            if member.isdir() or not key:
                continue
            if not member.isreg() or member.issparse():
                index.problems.add(f"{shard}/{member.name}", "a link or special file, not read")
                continue
            key = f"{folder}/{key}" if folder else key
            if sample is None or sample.key != key:
                if sample is not None:
                    index.add(number, sample, f"{shard}/{sample.key}")
                sample = _TarSample(key)
            file.seek(member.offset_data)
            _take_member(file, member, kind.lower(), sample)
    # The last sample before the damage may be whole.
    except tarfile.ReadError:
        if sample is not None and sample.complete:
            index.add(number, sample, f"{shard}/{sample.key}")
        raise
    if sample is not None:
        index.add(number, sample, f"{shard}/{sample.key}")


def _take_member(file: BinaryIO, member: tarfile.TarInfo, kind: str, sample: _TarSample) -> None:
    if kind in _IMAGES and sample.image is None:
        sample.image = member.offset_data, member.size
        if member.size == 0:
            sample.trouble = "empty file"
        elif not looks_like_image(file.read(_HEAD)):
            sample.trouble = "not an image"
    elif kind == "cls" or (kind == "json" and sample.label is None):
        if member.size > _MOST_LABEL_BYTES:
            sample.why = f"its .{kind} is too long for a label"
            return
        try:
            sample.label = _label(file.read(member.size).decode("utf-8-sig"), kind) or sample.label
        except ValueError:  # no UTF-8, no JSON
            sample.why = f"its .{kind} cannot be read"


def _label(text: str, kind: str) -> str | None:
    value: Any = text
    if kind == "json":
        data = parse_json(text)
        value = data.get("label") if isinstance(data, dict) else None
    # True is no label, though Python counts it among the numbers.
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip() if known else None


def _at_the_end(file: BinaryIO, offset: int, size: int) -> str:
    """Say what is wrong where the members end, as tarfile stops at damage without a word."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        return "without its end: samples may be missing"
    if block.strip(b"\0"):
        return f"damaged at byte {offset}: what follows is not read"
    if size - offset > _MOST_PADDING:
        return f"its end comes {size - offset} bytes before that of the file: these are not read"
    return ""


def _some_shards(shards: list[Path]) -> str:
    return some([str(path) for path in shards], 1)
