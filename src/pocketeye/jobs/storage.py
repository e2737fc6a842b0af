"""Reach files in object storage through fsspec: ``s3://``, ``gs://``, ``sftp://`` and others.

Storage may answer late or never, and its libraries wait for hours: every call is made in a thread of its
own and given up once nothing has moved for some seconds.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pocketeye import progress
from pocketeye.errors import InvalidValue, MissingFile, UserError, unknown
from pocketeye.outputs import cannot_write
from pocketeye.tracking.io.source import is_address

STORAGE_S = 60.0
"""Seconds without a byte after which storage is given up; its own retries take some."""
# Two letters at least: C:/ is a drive. Path() makes one slash of two.
_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):(/{1,3})(.*)", re.DOTALL)
_CHUNK = 8 << 20  # bytes: object storage is slow to begin and quick to go on
T = TypeVar("T")
Moved = Callable[[float], None]


def address_of(name: str | Path) -> str | None:
    """Return the address of something in storage; None of a path here, a camera or a stream.

    Args:
        name: as the user gave it, or as a :class:`Path`, which has folded ``://`` into ``:/``.
    """
    match = _REMOTE.fullmatch(str(name))
    if match is None or match[1].lower() == "file":
        return None
    # hdfs:///path has no host; as a Path it cannot be told from one that has.
    slashes = match[2] if len(match[2]) == 3 else "//"
    address = f"{match[1].lower()}:{slashes}{match[3]}"
    return None if is_address(address) else address


def here(name: str) -> str:
    """Return the path of a ``file://`` address; any other name as it is."""
    match = _REMOTE.fullmatch(name)
    return f"/{match[3]}" if match is not None and match[1].lower() == "file" else name


class Stored:
    """Name a file or folder in storage; nothing is asked before a method is called.

    Args:
        address: such as ``s3://bucket/clips/a.mp4``.
        timeout_s: seconds in which something must move.
    """

    def __init__(self, address: str, timeout_s: float = STORAGE_S) -> None:
        self.address, self._timeout_s = address.rstrip("/"), timeout_s

    @property
    def parent(self) -> Stored:
        return Stored(self.address.rpartition("/")[0], self._timeout_s)

    def __truediv__(self, name: str) -> Stored:
        return Stored(f"{self.address}/{name}", self._timeout_s)

    def exists(self) -> bool:
        return self._ask(lambda fs, path, moved: bool(fs.exists(path)))

    def num_bytes(self) -> int | None:
        """Return the size of a file; None of anything else."""

        def size(fs: Any, path: str, moved: Moved) -> int | None:
            return int(fs.size(path)) if fs.isfile(path) else None

        return self._ask(size)

    def names(self) -> list[str]:
        """Return the names in a folder; none where it is not there."""

        def listed(fs: Any, path: str, moved: Moved) -> list[str]:
            if not fs.isdir(path):
                return []
            return sorted(PurePosixPath(found).name for found in fs.ls(path, detail=False))

        return self._ask(listed)

    def fetch(self, target: Path) -> None:
        """Copy a file, or a folder with all in it, to a path here.

        Raises:
            MissingFile: nothing is there. InvalidValue: it cannot be read, or the disk here is full.
        """

        def copy(fs: Any, path: str, moved: Moved) -> None:
            if not fs.isdir(path):
                _copy_file(fs, path, target, moved)
                return
            for found in fs.find(path):
                below = PurePosixPath(found).relative_to(PurePosixPath(fs._strip_protocol(path)))
                if ".." not in below.parts:  # names in a bucket are anybody's
                    _copy_file(fs, found, target.joinpath(*below.parts), moved)

        with progress.task(f"fetching {self.address}") as bar:
            self._ask(copy, bar)

    def send(self, source: Path) -> None:
        """Copy a file here, or a folder with all in it, into storage, over what is there.

        Raises:
            InvalidValue: it cannot be written.
        """
        files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]

        def copy(fs: Any, path: str, moved: Moved) -> None:
            for file in files:
                below = file.relative_to(source).as_posix()
                target = path if below == "." else f"{path.rstrip('/')}/{below}"
                fs.makedirs(fs._parent(target), exist_ok=True)
                with file.open("rb") as data, fs.open(target, "wb") as out:
                    while chunk := data.read(_CHUNK):
                        out.write(chunk)
                        moved(len(chunk))

        with progress.task(f"sending {self.address}") as bar:
            self._ask(copy, bar)

    def remove(self) -> None:
        """Remove a file or folder, if it is there."""

        def remove(fs: Any, path: str, moved: Moved) -> None:
            if fs.exists(path):
                fs.rm(path, recursive=True)

        self._ask(remove)

    def _ask(self, call: Callable[[Any, str, Moved], T], bar: progress.Task | None = None) -> T:
        """Call with the file system and the path on it, in a thread.

        Raises:
            UserError: it cannot be done, or nothing moved in time.
        """
        asked = _Asked(self.address, call)
        while not asked.ended.wait(0.5):  # a sign of life of this worker twice a second
            if bar is not None and (moved := asked.take_moved()):
                bar.advance(moved)
            if time.monotonic() - asked.last > self._timeout_s:
                raise InvalidValue(
                    f"{self.address} did not answer for {self._timeout_s:g} s: is the storage reached?"
                )
        if asked.error is not None:
            raise asked.error
        found: T = asked.found
        return found


class _Asked:
    """Ask in a thread that nobody waits for longer than he wants to."""

    def __init__(self, address: str, call: Callable[[Any, str, Moved], Any]) -> None:
        self._address, self._call = address, call
        self.ended, self.last = threading.Event(), time.monotonic()
        self.found: Any = None
        self.error: UserError | None = None
        self._moved = 0.0
        threading.Thread(target=self._run, daemon=True, name="pocketeye-storage").start()

    def take_moved(self) -> float:
        """Return the bytes that moved since the last call."""
        moved, self._moved = self._moved, 0.0
        return moved

    def _move(self, num_bytes: float) -> None:
        self.last, self._moved = time.monotonic(), self._moved + num_bytes

    def _run(self) -> None:
        try:
            fs, path = _file_system(self._address)
            self.last = time.monotonic()
            self.found = self._call(fs, path, self._move)
        except UserError as error:
            self.error = error
        except FileNotFoundError as error:
            self.error = MissingFile(f"there is no {self._address}")
            self.error.__cause__ = error
        except Exception as error:  # noqa: BLE001 - libraries of storage have errors of their own
            said = " ".join(str(error).split()) or type(error).__name__
            self.error = InvalidValue(f"{self._address} cannot be reached: {said:.200}")
            self.error.__cause__ = error
        finally:
            self.ended.set()


def _file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path on it.

    Raises:
        InvalidValue: an unknown protocol, or its package is not installed.
    """
    import fsspec
    from fsspec.registry import known_implementations, registry

    protocol = address.partition("://")[0]
    known = {*known_implementations, *registry}
    if protocol not in known:
        raise unknown("protocol of storage", protocol, known)
    try:
        fs, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = known_implementations[protocol]["class"].partition(".")[0]
        if package == "fsspec":
            package = (error.name or "").partition(".")[0]
        raise InvalidValue(
            f"{protocol}:// needs the package {package!r}, which is not installed: "
            f"pip install {package}"
        ) from error
    fs.invalidate_cache()  # others write there too
    return fs, path


def _copy_file(fs: Any, path: str, target: Path, moved: Moved) -> None:
    with fs.open(path, "rb") as data:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            out = target.open("wb")
        except OSError as error:
            raise cannot_write(target, error) from error
        with out:
            while chunk := data.read(_CHUNK):
                moved(len(chunk))
                try:
                    out.write(chunk)
                except OSError as error:
                    raise cannot_write(target, error) from error
