"""Write the file below a video."""

from __future__ import annotations

import os
from pathlib import Path


class VideoFile:
    """Keep a failing disk from FFmpeg, which crashes where it cannot end what it began.

    Writing always seems to succeed. What the system really said stands in ``error``, which whoever
    writes looks at after each frame.
    """

    def __init__(self, path: Path) -> None:
        """Open a new file; raise OSError where that is not possible."""
        self.name = str(path)
        self.error: OSError | None = None
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._place = self._size = 0

    def reopened(self, url: str, flags: int, options: dict[str, str]) -> VideoFile:
        """Return a second view of the file: FFmpeg moves the index of a finished one to its start."""
        other = VideoFile.__new__(VideoFile)
        other.name, other.error, other._size = self.name, self.error, self._size
        other._fd, other._place = os.dup(self._fd), 0
        return other

    def write(self, data: bytes) -> int:
        """Take the bytes; after an error they are dropped."""
        count, place = len(data), self._place
        rest = memoryview(data)
        try:
            while self.error is None and len(rest):
                done = os.pwrite(self._fd, rest, place)
                rest, place = rest[done:], place + done
        except OSError as error:
            self.error = error
        self._place += count
        self._size = max(self._size, self._place)
        return count

    def read(self, count: int) -> bytes:
        """Return bytes of what was written, zeros for those that were dropped."""
        count = max(0, min(count, self._size - self._place))
        data = os.pread(self._fd, count, self._place)
        if self.error is not None:
            data = data.ljust(count, b"\0")
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as every file does; returns the place."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def sync(self) -> None:
        """Bring everything to the disk; an error is kept as those of writing are."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            self.error = self.error or error

    def close(self) -> None:
        """Close the file; of no effect the second time."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
