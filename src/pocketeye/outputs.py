"""Write files that are whole or not there: partial files, locks, folders that change at once.

A file is written beside its place, brought to the disk and renamed. Whoever writes holds a lock that the
system takes away with the process, so what a killed one left is told from what is being written.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketeye.errors import InvalidValue

# errno of a full disk, a used-up quota, and a file above the limit of the process.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PARTIAL = ".partial"
_PACKAGE = ".mlpackage"  # Core ML's format: a folder that macOS shows as one file
# Temporary folders of ours, wherever they are.
_SCRATCH, _MARK, _FILES = "pocketeye-", ".pocketeye-scratch", "files"


def cannot_write(path: Path, error: OSError, more: str = "") -> InvalidValue:
    """Return the error for a file or folder that the system did not let us write.

    Args:
        more: what is known besides, such as how to go on.
    """
    path = _final(path)
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        reason = f"the disk of {path.parent} is full ({reason}), make room there"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = f"no permission to write in {path.parent} ({reason})"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        # "File exists" of a parent that is a file, "No such file" of a folder that somebody removed.
        there = _nearest_above(path)
        reason = f"there is no folder {path.parent}" if there.is_dir() else f"{there} is a file"
    return InvalidValue(f"cannot write {path}: {reason}{f'; {more}' if more else ''}")


def _nearest_above(path: Path) -> Path:
    """Return what exists of a path: itself, the nearest folder above, or the file in its way."""
    return next(each for each in (path, *path.parents, Path()) if each.exists())


def _final(path: Path) -> Path:
    """Return where a file in a folder of :func:`whole_folder` will be, which is what the user named."""
    parts: list[str] = []
    for part in path.parts:
        if parts and parts[-1].startswith(f".{_SCRATCH}") and part == _FILES:
            parts.pop()
        else:
            parts.append(part)
    return Path(*parts)


def require_folder(folder: Path) -> None:
    """Refuse a folder that could not be made or written, before the work whose results go there.

    Raises:
        InvalidValue: a file is in the way, or there is no permission.
    """
    # The nearest folder above that exists decides whether ours can be made.
    there = _nearest_above(folder)
    if not there.is_dir():
        raise InvalidValue(f"cannot make the folder {folder}: {there} is a file; name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidValue(f"no permission to write in {there}: name another folder with --out")


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file beside its place, and give it its name when it is complete.

    Args:
        sync: bring it to the disk first, so that also a power cut leaves the old or the new one.

    Raises:
        OSError: it cannot be written; what was there before is unchanged, and nothing else is left.
    """
    # In the same folder: renaming is atomic only within one file system.
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    fd = _locked(partial, wait=True)
    assert fd is not None  # it waits for others, and makes what is not there
    try:
        # What a killed process left under this name may be longer.
        os.ftruncate(fd, 0)
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(fd)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    finally:
        os.close(fd)


def clean_partials(folder: Path) -> list[Path]:
    """Remove the partial files in a folder whose writers are gone; returns them.

    Raises:
        OSError: the folder cannot be listed.
    """
    removed = []
    for path in sorted(folder.glob(f".*{_PARTIAL}")):
        if path.is_file() and (fd := _locked(path, wait=False, create=False)) is not None:
            path.unlink(missing_ok=True)
            os.close(fd)
            removed.append(path)
    return removed


@contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from writing to a file or folder for the length of the block.

    Of a folder that exists nothing is seen; beside a file lies ``.NAME.lock`` meanwhile.

    Args:
        wait: wait until nobody else holds it, for blocks that only write what is there already.

    Raises:
        InvalidValue: somebody else holds it, or the lock cannot be written.
    """
    lock = Lock(path, wait=wait)
    try:
        yield
    finally:
        lock.release()


class Lock:
    """See :func:`held`, for writers that begin and end in different functions."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        # A folder is locked itself; beside a file lies a lock of its own.
        self._file = None if path.is_dir() else path.with_name(f".{path.name}.lock")
        try:
            fd = _locked(self._file or path, wait=wait)
        except OSError as error:
            raise cannot_write(path, error) from error
        if fd is None:
            raise InvalidValue(
                f"{path} is being written by another process: wait until it ends, or write elsewhere"
            )
        self._fd: int | None = fd

    def release(self) -> None:
        """Let others write; of no effect the second time."""
        if self._fd is None:
            return
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()
        os.close(self._fd)
        self._fd = None

    def __del__(self) -> None:
        # Of an output that was opened and, as another one could not be, never used.
        if hasattr(self, "_fd"):
            self.release()


@contextmanager
def whole_folder(
    folder: Path, last: str, ours: Collection[str] = (), *, sync: bool = True
) -> Iterator[Path]:
    """Yield an empty hidden folder whose contents replace those of ``folder`` when the block is done.

    What was in ``folder`` stays whole until then, and wherever a crash happens after that, ``last`` is
    missing, without which nobody takes the folder for a result. Files that are not ours stay.

    Args:
        last: the file that makes the folder what it is; it goes first and comes last.
        ours: further names that belong to what was there before, and go with it.
        sync: bring everything to the disk before the old goes.

    Raises:
        InvalidValue: the folder cannot be written, or another process writes into it.
    """
    existed = folder.is_dir()
    try:
        # The folder must exist to be locked.
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        with held(folder), scratch_folder(folder) as staging:
            yield staging
            try:
                if sync:
                    _sync_all(staging)
                _publish(staging, folder, last, ours)
            except OSError as error:
                raise cannot_write(folder, error, "repeat the command") from error
    finally:
        if not existed:
            # Made by us and left empty: it goes again.
            with suppress(OSError):  # it holds something
                folder.rmdir()


def _publish(staging: Path, folder: Path, last: str, ours: Collection[str]) -> None:
    names = [path.name for path in staging.iterdir()]
    # What makes the folder a result goes first and comes last.
    for name in (last, *sorted({*ours, *names} - {last})):
        _remove(folder / name, last)
    _sync(folder)
    for name in sorted(names, key=lambda name: name == last):
        (staging / name).replace(folder / name)
    _sync(folder)


def _remove(path: Path, last: str) -> None:
    """Remove a file, or a folder that is such a result or one file to its user; others are his."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
    elif (path / last).is_file() or path.suffix == _PACKAGE:
        shutil.rmtree(path)


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)


def _sync(path: Path) -> None:
    # Folders too: renaming is on the disk only when the folder is.
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that is removed afterwards; those of killed processes beside it go first.

    Args:
        parent: where it is made; by default the folder for temporary files.

    Raises:
        InvalidValue: it cannot be made; the sentence names ``parent``.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    prefix = _SCRATCH if parent is None else f".{_SCRATCH}"
    fd = -1
    while fd < 0:
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        except OSError as error:
            raise cannot_write(where / prefix, error) from error
        # Another start may take it for a leftover before it is locked, and remove it.
        found = _locked(folder, wait=False, create=False)
        fd = -1 if found is None else found
    try:
        _clean_scratch(where, prefix)
        (folder / _MARK).touch()
        # Apart from the mark, and from the lock: who writes into it may lock it too.
        files = folder / _FILES
        files.mkdir()
        yield files
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let libraries put their temporary files into ``folder`` inside the block.

    So they are on the disk whose name a sentence about a full disk has, and go with the folder.
    """
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _clean_scratch(where: Path, prefix: str) -> None:
    """Remove the temporary folders of processes that are gone; those of other users stay."""
    for path in where.glob(f"{prefix}*"):
        with suppress(OSError):
            # By its mark: somebody may call a folder of his own like that.
            if path.is_symlink() or not (path / _MARK).is_file() or not _mine(path):
                continue
            if (fd := _locked(path, wait=False, create=False)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(fd)


def _mine(path: Path) -> bool:
    return sys.platform == "win32" or path.stat().st_uid == os.getuid()


def _locked(path: Path, *, wait: bool, create: bool = True) -> int | None:
    """Open a file (or a folder that exists) and lock it; None where somebody holds it, or it is gone.

    Raises:
        OSError: it cannot be opened.
    """
    while True:
        folder = path.is_dir()
        flags = os.O_RDONLY if folder else os.O_RDWR | (os.O_CREAT if create else 0)
        try:
            # The mode follows the umask, as that of every file that programs make.
            fd = os.open(path, flags, 0o666)
        except FileNotFoundError:
            if create:
                raise
            return None
        if not _flock(fd, wait=wait):
            os.close(fd)
            return None
        # Its holder may have renamed or removed it between the two calls.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        os.close(fd)
        if not create:
            return None


def _flock(fd: int, *, wait: bool) -> bool:
    """Lock an open file; False where it is held. File systems without locks let everybody in."""
    if sys.platform == "win32":
        # Windows has no flock; there the last writer wins.
        return True
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EBADF, errno.EINVAL):
            raise
    return True
