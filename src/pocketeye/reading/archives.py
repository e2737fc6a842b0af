"""Bound a zip file before anything in it is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from pocketeye.errors import InvalidValue

MOST_MEMBERS = 100_000
MOST_RATIO = 200
"""Unpacked over packed size. Weights pack by less than 2, texts by 20, a file of zeros by 1000."""
_SMALL = 1 << 20  # a short member of one byte repeated is no bomb


def require_bounded(path: Path, archive: zipfile.ZipFile, most_bytes: int) -> None:
    """Refuse an archive that would fill memory or disk, or whose names leave its folder.

    Args:
        most_bytes: of all members together, unpacked.

    Raises:
        InvalidValue: the sentence names the archive and the member.
    """
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise _refused(path, f"{len(members)} members")
    for member in members:
        name = member.filename
        # By the rules of both systems: an archive of one may be opened on the other.
        parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in parts:
            raise _refused(path, f"a member whose name leaves the archive ({name[:80]!r})")
        # A few bytes that unpack to gigabytes fill the memory.
        if member.file_size > max(_SMALL, MOST_RATIO * max(member.compress_size, 1)):
            raise _refused(
                path,
                f"{name[:80]!r}, which unpacks {member.compress_size} to {member.file_size} bytes",
            )
    if (total := sum(member.file_size for member in members)) > most_bytes:
        raise _refused(path, f"{total} bytes unpacked, and {most_bytes} are allowed")


def _refused(path: Path, what: str) -> InvalidValue:
    return InvalidValue(f"{path} was not opened: it holds {what}")
