"""Hold what all writers share: frame after frame in constant memory, whole or under a partial name."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from av.error import FFmpegError

from pocketeye.closing import Closing
from pocketeye.errors import InvalidValue
from pocketeye.outputs import Lock, cannot_write
from pocketeye.results import Result
from pocketeye.text import counted

logger = logging.getLogger(__name__)


class Writer(Closing, ABC):
    """Take results one by one; a context manager.

    Until it is closed everything stands under ``partial`` (``clip.partial.mp4`` for ``clip.mp4``).
    Leaving the block normally gives it its name; leaving it by an exception, Ctrl-C too, ends the
    partial file properly, so that it plays or parses up to there, and leaves the name alone. A file
    that a full disk cut short is removed. What a killed process left is replaced.

    Attributes:
        keeps: whether single frames stay readable where the disk is full.
    """

    keeps = False

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self.num_written = 0
        self._closed = self._failed = False
        if not overwrite and self._taken():
            raise InvalidValue(f"{path} is already there: choose another name, or say overwrite")
        self._require_place()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(path)
        try:
            with self._told():
                self._open()
        except InvalidValue:
            self._lock.release()
            raise

    def write(self, result: Result) -> None:
        """Add one frame.

        Raises:
            InvalidValue: the result lacks what the form needs (its image, masks), or the disk is
                full.
        """
        if self._closed:
            raise InvalidValue(f"{self.path} is finished: open another writer")
        with self._told():
            self._write(result, self.num_written if result.frame is None else result.frame)
        self.num_written += 1

    def close(self) -> Path:
        """Finish and give the output its name.

        Raises:
            InvalidValue: no frame was written, or the disk is full.
        """
        if self._closed:
            return self.path
        self._closed = True
        try:
            with self._told():
                self._finish()
                if self.num_written:
                    self._rename()
            if not self.num_written:
                self._discard()
                raise InvalidValue(f"{self.path} was not written: there was no frame")
        finally:
            self._lock.release()
        return self.path

    def abort(self) -> Path | None:
        """Finish under the partial name, which is returned; None where nothing was written."""
        if self._closed:
            return None
        self._closed = True
        try:
            if not self._failed:
                with self._told():
                    self._finish()
            if not self.num_written or (self._failed and not self.keeps):
                self._drop()
                self._discard()
                return None
        finally:
            self._lock.release()
        frames = counted(self.num_written, "frame")
        logger.warning("stopped after %s, kept in %s", frames, self.partial)
        return self.partial

    @abstractmethod
    def _write(self, result: Result, frame: int) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """End the partial output so that it can be read; also where nothing was written."""

    def _open(self) -> None:
        """Open the partial output, where that is not left to the first frame."""
        return

    def _drop(self) -> None:
        """Close what is open, whatever its state; also after :meth:`_finish`."""
        return

    def _taken(self) -> bool:
        return self.path.exists()

    def _require_place(self) -> None:
        """Raise InvalidValue where ``overwrite`` would fail, which must not come out after the work."""
        if self.path.is_dir():
            raise InvalidValue(
                f"{self.path} is a folder, and a file is to be written: name another"
            )

    def _rename(self) -> None:
        self.partial.replace(self.path)

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of what the system refuses where it was, and what is left."""
        try:
            yield
        except (OSError, FFmpegError) as error:
            self._failed = True
            kept = ""
            if self.num_written:
                kept = "what was written of it is removed"
                if self.keeps:
                    kept = f"{self.num_written} frames are in {self.partial}"
            if self._closed and not self.keeps:
                self._drop()
                self._discard()
            if isinstance(error, OSError):
                raise cannot_write(self.path, error, kept) from error
            raise InvalidValue(f"cannot write {self.path}: {error}; {kept}") from error
