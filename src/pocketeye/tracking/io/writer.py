"""What all writers share: frame after frame in constant memory, whole or under a partial name."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from av.error import FFmpegError

from pocketeye.errors import InvalidValue
from pocketeye.results import Result

logger = logging.getLogger(__name__)


class Writer(ABC):
    """Takes results one by one; a context manager.

    Until it is closed everything stands under ``partial`` (``clip.partial.mp4`` for ``clip.mp4``).
    Leaving the block normally gives it its name; leaving it by an exception, Ctrl-C too, ends the
    partial file properly, so that it plays or parses up to there, and leaves the name alone.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self.num_written = 0
        self._closed = False
        if not overwrite and self._taken():
            raise InvalidValue(f"{path} is already there: choose another name, or say overwrite")
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)

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
        if not self.num_written:
            self._finish()
            self._discard()
            raise InvalidValue(f"{self.path} was not written: there was no frame")
        with self._told():
            self._finish()
            self._rename()
        return self.path

    def abort(self) -> Path | None:
        """Finish under the partial name, which is returned; None where nothing was written."""
        if self._closed:
            return None
        self._closed = True
        with self._told():
            self._finish()
        if not self.num_written:
            self._discard()
            return None
        logger.warning("stopped after %d frames, kept in %s", self.num_written, self.partial)
        return self.partial

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @abstractmethod
    def _write(self, result: Result, frame: int) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """End the partial output so that it can be read; also where nothing was written."""

    def _taken(self) -> bool:
        return self.path.exists()

    def _rename(self) -> None:
        self.partial.replace(self.path)

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of what the system refuses where it was."""
        try:
            yield
        except (OSError, FFmpegError) as error:
            kept = f"; {self.num_written} frames are in {self.partial}" if self.num_written else ""
            raise InvalidValue(
                f"cannot write {self.path}: {error.strerror or error}{kept}"
            ) from error
