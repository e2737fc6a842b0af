"""Open files by name: regular ones of a bounded size, and nothing that hangs or never ends.

A name that a person or a file gives may lead to a pipe without a writer (opening it waits for ever), to
a device (``/dev/zero`` never ends), or to a folder. Whoever opens a file by such a name does it here.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from pocketeye.errors import InvalidValue, MissingFile

MOST_TEXT_BYTES = 64 << 20
"""The largest of our own files is a latency table of 2 MB."""
MOST_IMAGE_BYTES = 1 << 30
"""An uncompressed image of as many pixels as Pillow decodes has 540 MB."""
MOST_ANNOTATION_BYTES = 4 << 30
"""COCO's json of the largest split has 470 MB, LVIS's 1.1 GB."""


def what_is_at(path: Path) -> str | None:
    """Say in words what lies at a path instead of a file; None for a regular file.

    Nothing is opened. A path that cannot be looked at is described by the system's words.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError:  # a NUL in the name
        return "no name of a file"
    return None if stat.S_ISREG(mode) else _kind(mode)


def is_file(path: Path) -> bool:
    """Tell whether a regular file lies at a path, whatever the path is (also one that is too long)."""
    return what_is_at(path) is None


def can_exist(path: Path) -> bool:
    """Tell whether the system takes a path at all: it may be too long, have a NUL, or lead in a circle.

    ``Path.exists`` and its like raise ``OSError`` for some of these.
    """
    try:
        path.stat()
    except OSError as error:
        return error.errno not in (errno.ENAMETOOLONG, errno.ELOOP)
    except ValueError:
        return False
    return True


def exists(path: Path) -> bool:
    """Tell whether anything lies at a path; False for a path that :func:`can_exist` refuses."""
    return can_exist(path) and path.exists()


def is_folder(path: Path) -> bool:
    """Tell whether a folder lies at a path; False for a path that :func:`can_exist` refuses."""
    return can_exist(path) and path.is_dir()


def require_file(path: Path, missing: str) -> None:
    """Raise unless a regular file lies at ``path``.

    Args:
        missing: the sentence for a path with nothing there.

    Raises:
        MissingFile: nothing there. InvalidValue: a folder, a pipe, a device, or not to be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFile(missing) from None
    except (OSError, ValueError):
        raise InvalidValue(f"{_short(path)} cannot be opened: {what_is_at(path)}") from None
    if not stat.S_ISREG(mode):
        raise InvalidValue(f"{path} is {_kind(mode)}, and a file is expected: name a file")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading in binary; never waits for a pipe.

    Raises:
        OSError: it cannot be opened, or is no regular file (``strerror`` says what it is).
    """
    # A pipe without a writer would hold up whoever opens it; devices may act on being opened.
    if (kind := what_is_at(path)) is not None and exists(path):
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    try:
        return open(path, "rb", opener=_without_waiting)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no name of a file", str(path)) from error


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; raise OSError where it is no regular one any more, since it was looked at."""
    # Between looking and opening another program may have put a pipe there.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{_kind(mode)}, not a file", str(path))
    return descriptor


def read_regular(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """Read a regular file.

    Raises:
        OSError: as :func:`open_regular`, or it is larger than ``most_bytes``.
    """
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)  # its size may grow, or be told wrong
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes >> 20} MiB", str(path))
    return data


def read_text(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Read a text in UTF-8, with or without a byte order mark.

    Raises:
        MissingFile: nothing there.
        InvalidValue: no regular file, too large, or no UTF-8; the sentence names the file.
    """
    try:
        data = read_regular(path, most_bytes)
    except FileNotFoundError:
        raise MissingFile(f"there is no file {path}") from None
    except OSError as error:
        raise InvalidValue(f"{_short(path)} cannot be read: {error.strerror or error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Notepad's UTF-16 is a usual cause, with a simple remedy.
        why = "it is UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte {error.start}"
        raise InvalidValue(
            f"{path} is no text in UTF-8 ({why}): it is damaged, or must be saved as UTF-8"
        ) from error


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
    (stat.S_ISSOCK, "a socket"),
)


def _kind(mode: int) -> str:
    return next((word for fits, word in _KINDS if fits(mode)), "a special file")


def _short(path: Path) -> str:
    """Cut a name that no system takes, so that the sentence stays readable."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-40:]}"
