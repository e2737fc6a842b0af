"""Read lists of videos with what is asked of each: CSV, YAML, or a folder of videos."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.data.video.names import is_video_name
from pocketeye.errors import InvalidValue, unknown
from pocketeye.jobs.manifest import VideoRow
from pocketeye.jobs.storage import STORAGE_S, Stored, address_of, here
from pocketeye.jobs.videos import NamedVideo, find_videos
from pocketeye.outputs import scratch_folder
from pocketeye.reading import (
    is_file,
    is_folder,
    read_regular,
    read_yaml,
    require_file,
)
from pocketeye.tracking.io.source import is_address
from pocketeye.tracking.video.frame_prompts import (
    Request,
    parse_names,
    parse_prompts,
    parse_removals,
)

_MOST_BYTES = 1 << 30  # of a CSV: a million rows have about 100 MB
_SUFFIXES = (".csv", ".yaml", ".yml")  # of lists in storage; anything else there is a folder
_LISTS = ("point", "object", "remove", "name")
_NUMBERS = ("frame", "start", "stop")
_SHOWING = ("point", "box", "object")
COLUMNS = ("video", *_LISTS, "box", "prompts", *_NUMBERS)


@dataclass(frozen=True, kw_only=True)
class JobList:
    """Hold a list of videos.

    Attributes:
        rows: that are read as they are taken.
        fingerprint: tells a list that changed; empty of a folder, which is looked through each time.
    """

    rows: Iterable[VideoRow]
    fingerprint: str


@contextmanager
def open_list(path: Path, storage_s: float = STORAGE_S) -> Iterator[JobList]:
    """Yield a list of videos, fetched first if it lies in storage: see :func:`read_jobs`.

    Raises:
        UserError: there is no such list, or storage does not answer.
    """
    address = address_of(path)
    if address is None:
        yield JobList(rows=read_jobs(path), fingerprint=fingerprint(path))
        return
    stored = Stored(address, storage_s)
    if path.suffix.lower() not in _SUFFIXES:
        names = [name for name in stored.names() if is_video_name(Path(name))]
        if not names:
            raise InvalidValue(f"the folder {address} holds no videos")
        rows = [VideoRow(source=(stored / name).address, asked={}) for name in names]
        yield JobList(rows=rows, fingerprint="")
        return
    with scratch_folder() as folder:
        local = folder / path.name
        stored.fetch(local)
        # What the rows name is seen from where the list lies.
        yield JobList(rows=read_jobs(local, stored.parent.address), fingerprint=fingerprint(local))


def read_jobs(path: Path, base: str = "") -> Iterator[VideoRow]:
    """Yield the videos of a list.

    A CSV has a column ``video`` and any of point, box, object, remove, name, prompts, frame, start and
    stop, as the options are written; several points, objects, removals or names are parted by ``;``.
    A YAML is a list of mappings with these keys. Paths are seen from the list's folder. Of a folder
    every video is taken.

    Args:
        path: of the list.
        base: from where its paths are seen instead.

    Raises:
        MissingFile: no such list.
        InvalidValue: an unknown column, a row without a video, or a list without rows.
    """
    if is_folder(path):
        yield from (VideoRow(source=str(v.source), asked={}) for v in _plain(path))
        return
    require_file(path, f"there is no list of videos at {path}")
    rows = _yaml_rows(path) if path.suffix.lower() in (".yaml", ".yml") else _csv_rows(path)
    empty = True
    for place, row in rows:
        empty = False
        yield _row(path, place, row, base or str(path.parent))
    if empty:
        raise InvalidValue(
            f"{path} lists no video: a line for each, below a first line of {COLUMNS}"
        )


def fingerprint(path: Path) -> str:
    """Return what tells a list that changed; empty of a folder, which is looked through each time."""
    if not is_file(path):
        return ""
    return hashlib.sha256(read_regular(path, _MOST_BYTES)).hexdigest()


def _plain(folder: Path) -> list[NamedVideo]:
    videos = find_videos(str(folder))
    if any(not isinstance(video.source, str) for video in videos):
        raise InvalidValue(f"{folder} holds no videos that have a path each: name a list instead")
    return videos


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        # Names of files may be no UTF-8; their bytes go through as the system gives them.
        text = read_regular(path, _MOST_BYTES).decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror or error}") from error
    lines = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        _require_columns(path, header)
        for cells in lines:
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise InvalidValue(
                    f"{path}: line {lines.line_num} has {len(cells)} cells, and the first line has "
                    f"{len(header)}: points and boxes have commas and stand in quotes"
                )
            yield f"line {lines.line_num}", dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InvalidValue(f"{path} is damaged at line {lines.line_num}: {error}") from error


def _yaml_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = read_yaml(path)
    if not isinstance(rows, list):
        raise InvalidValue(
            f"{path} should be a list of videos, each with 'video: path' and its prompts"
        )
    for place, row in enumerate(rows, 1):
        if isinstance(row, str):
            row = {"video": row}
        if not isinstance(row, dict):
            raise InvalidValue(f"{path}: entry {place} is no mapping with 'video: path'")
        _require_columns(path, [str(key) for key in row])
        yield f"entry {place}", row


def _require_columns(path: Path, names: Iterable[str]) -> None:
    listed = list(names)
    for name in listed:
        if name not in COLUMNS:
            raise unknown(f"column of {path}", name, COLUMNS)
    if "video" not in listed or len({*listed}) < len(listed):
        raise InvalidValue(
            f"{path} should have the column 'video' once, and each other at most once"
        )


def _row(path: Path, place: str, row: Mapping[str, Any], base: str) -> VideoRow:
    source = str(row.get("video") or "").strip()
    if not source or "\0" in source:
        raise InvalidValue(f"{path}: {place} names no video")
    asked: dict[str, Any] = {}
    for key, value in row.items():
        if key == "video" or value in (None, "", []):
            continue
        values = value if isinstance(value, list) else str(value).split(";")
        texts = [str(each).strip() for each in values if str(each).strip()]
        asked[key] = texts if key in _LISTS else str(value).strip()
    if "prompts" in asked:
        asked["prompts"] = _beside(base, asked["prompts"])
    return VideoRow(source=_beside(base, source), asked=asked)


def _beside(base: str, name: str) -> str:
    """Return a path as seen from here; addresses, also in storage, and cameras stay."""
    name = here(name)
    if is_address(name) or address_of(name) or name.isdecimal():
        return name
    # Path would fold the slashes of an address.
    if address_of(base) and not Path(name).is_absolute():
        return f"{base}/{name}"
    return str(Path(base) / name)


def named_video(row: VideoRow, common: Request, frame: int = 0) -> NamedVideo:
    """Return the video of a row; what the row does not say of it is what ``common`` asks.

    Args:
        common: what the whole job asks. Points, boxes, objects and a file of prompts stand for one
            another: a row that has one of them takes none of ``common``.
        frame: of points and boxes, where the row names no frame and no start; a detector looks in the
            row's too.

    Raises:
        InvalidValue: a prompt that is not written as it should be.
    """
    asked = dict(row.asked)
    prompts = asked.pop("prompts", None)
    numbers = {key: _number(key, asked[key]) for key in _NUMBERS if key in asked}
    shown = common.prompts
    if prompts or any(key in asked for key in _SHOWING):
        at = numbers.get("frame", numbers.get("start", frame))
        shown = parse_prompts(asked.get("point", []), asked.get("box"), at, asked.get("object", []))
    request = Request(
        prompts=shown,
        removals=parse_removals(asked["remove"]) if "remove" in asked else common.removals,
        names=parse_names(asked["name"]) if "name" in asked else common.names,
        start=numbers.get("start", common.start),
        stop=numbers.get("stop", common.stop),
    )
    said = row.source.encode("utf-8", "replace").decode()
    return NamedVideo(
        source=row.source, said=said, name=row.name, request=request,
        prompts=Path(prompts) if prompts else None, begun=row.frames > 0,
        frame=numbers.get("frame", numbers.get("start")),
    )  # fmt: skip


def _number(key: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InvalidValue(f"{key} is the number of a frame, got {text!r:.40}")
    return int(text)
