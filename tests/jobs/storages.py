"""File systems as storage is: far away, slow, or silent. They live in this process alone."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class SilentFileSystem(MemoryFileSystem):
    """Never answer, as storage behind a dead network."""

    protocol = "silent"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def exists(self, path: str, **kwargs: Any) -> bool:
        time.sleep(20)
        return False

    isdir = isfile = info = ls = exists


class SlowFileSystem(MemoryFileSystem):
    """Take its time for each call, but answer; the file ``late.txt`` comes only the second time."""

    protocol = "slow"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    calls = 0

    def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.3)
        type(self).calls += 1
        if path.endswith("late.txt") and self.calls == 1:
            raise TimeoutError("no answer from the bucket")
        return super().open(path, *args, **kwargs)


def register() -> None:
    for kind in (SilentFileSystem, SlowFileSystem):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)
