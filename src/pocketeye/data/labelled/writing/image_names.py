"""Name images in files of labels: as seen from their common folder, each name once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pocketeye.data.files.fetch import is_address
from pocketeye.text import file_stem

_LONGEST = 100  # characters of a part of a name: file systems take 255 bytes


def image_names(images: Sequence[Path | str]) -> list[str]:
    """Return a name for each image, ``/`` between folders; two images never have the same.

    Args:
        images: paths of files, whose names are left as they are but for the folder that all lie in; or
            what else is said of an image: an address, ``standard input``.
    """
    folder = _common_folder([image for image in images if isinstance(image, Path)])
    return _each_once([_name(image, folder) for image in images], by_stem=False)


def copied_names(images: Sequence[Path | str]) -> list[str]:
    """Return such names for copies in a data set: of letters that every file system takes.

    Labels are named after images without their suffix, so no two names differ in case or suffix alone.
    """
    return _each_once([_safe(name) for name in image_names(images)], by_stem=True)


def _common_folder(paths: Sequence[Path]) -> str | None:
    """Return the folder below which all files lie; None where there is none."""
    try:
        return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])  # noqa: PTH100, PTH120
    except ValueError:  # no file, or on two drives
        return None


def _name(image: Path | str, folder: str | None) -> str:
    if isinstance(image, Path):
        # Not resolved: a link has the name that the user gave it.
        whole = Path(os.path.abspath(image))  # noqa: PTH100
        return whole.relative_to(folder).as_posix() if folder else whole.name
    if is_address(image):
        return PurePosixPath(unquote(urlsplit(image).path)).name or "image"
    return image


def _safe(name: str) -> str:
    parts = []
    for part in PurePosixPath(name).parts:
        path = PurePosixPath(part)
        stem, suffix = file_stem(path.stem, _LONGEST), file_stem(path.suffix, 8)
        # A name that begins with a point is hidden, and passed over by most readers.
        parts.append(f"{'_' * stem.startswith('.')}{stem}{suffix}")
    return "/".join(parts) or "image"


def _each_once(names: Sequence[str], *, by_stem: bool) -> list[str]:
    taken: set[str] = set()
    found = []
    for name in names:
        path, number, key = PurePosixPath(name), 1, name
        while True:
            new = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
            # Without regard to case: two such names are one file on macOS and Windows.
            key = str(new.with_suffix("")).casefold() if by_stem else str(new)
            if key not in taken:
                break
            number += 1
        taken.add(key)
        found.append(new.as_posix())
    return found
