"""Do tasks inside a worker: tell of a full disk, and give signs of life with each frame."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any, Literal

from pocketeye import progress
from pocketeye.errors import UserError
from pocketeye.jobs.pool import Work

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of a worker: libraries that compute look when they are loaded."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BEAT_S = 1.0


def made(make: Callable[[], Work]) -> tuple[Work | None, str]:
    """Return the function that does tasks, or None and the sentence why it cannot be made."""
    try:
        return make(), ""
    except (UserError, OSError, ImportError) as error:
        return None, f"{error or type(error).__name__}"


def done(work: Work, task: Any) -> tuple[Literal["done", "failed", "full"], Any]:
    """Do a task; returns its value, or the sentence why there is none."""
    try:
        return "done", work(task)
    except (UserError, OSError, MemoryError, ValueError, RuntimeError) as error:
        return "full" if _is_full(error) else "failed", f"{error or type(error).__name__}"


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


class Beat:
    """Call ``tell`` with each frame, at most once a second: a reporter of progress."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell, self._last = tell, 0.0

    def open(self, description: str, total: float | None) -> Beat:
        self.advance()
        return self

    def close(self, task: progress.Task) -> None:
        self.advance()

    def note(self, text: str) -> None:
        return

    def mark(self, text: str) -> None:
        self.advance()

    def advance(self, amount: float = 1.0) -> None:
        now = time.monotonic()
        if now - self._last >= _BEAT_S:
            self._last = now
            self._tell()
