"""Keep the state of each video of a job in one file that survives a kill: ``manifest.sqlite``.

Every change is one small transaction of SQLite: it is on the disk or not there, and costs the same for
ten videos as for a million.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.closing import Closing
from pocketeye.errors import InvalidValue
from pocketeye.outputs import Lock, cannot_write
from pocketeye.text import file_stem

NAME = "manifest.sqlite"
MOST_TRIES = 2
"""A video that failed is tried once more, after all others: storage may have been away."""
WAITING, RUNNING, DONE, FAILED = range(4)
_STATES = ("waiting", "running", "done", "failed")
_TABLES = """
CREATE TABLE videos (
    number INTEGER PRIMARY KEY, source BLOB NOT NULL, asked TEXT NOT NULL, name TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, error TEXT,
    frames INTEGER, seconds REAL, row BLOB NOT NULL UNIQUE);
CREATE UNIQUE INDEX by_name ON videos (name COLLATE NOCASE);
CREATE INDEX by_state ON videos (state, tries, number);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRow:
    """Hold one video of a job.

    Attributes:
        source: path or address; bytes of a name that is no UTF-8 are kept as Python keeps them.
        asked: options of this video alone, by name, as on the command line; empty for none.
        name: of its outputs; empty until the manifest gave it one.
        number: in the manifest.
        frames: that were tracked in stretches of it, as far as the manifest was told.
    """

    source: str
    asked: Mapping[str, Any]
    name: str = ""
    number: int = 0
    frames: int = 0

    @property
    def key(self) -> bytes:
        """Return what tells two rows apart: the same video may be asked different things."""
        said = json.dumps([self.source, dict(self.asked)], sort_keys=True)
        return hashlib.sha256(said.encode()).digest()


class Manifest(Closing):
    """Open the manifest in a folder, made if there is none; one process at a time has it.

    Args:
        settings: what decides the results of all videos; compared with what it was made with.
        again: forget what was there before.

    Raises:
        InvalidValue: another process has it (the sentence says which), it is damaged, or was made with
            other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, again: bool = False) -> None:
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        self._lock = self._locked()
        try:
            with self._told():
                if again:
                    self.path.unlink(missing_ok=True)
                    for left in ("journal", "wal", "shm"):
                        self.path.with_name(f"{NAME}-{left}").unlink(missing_ok=True)
                new = not self.path.exists()
                self._open(new)
                self._compare(settings)
                # Whoever ran these is gone: the lock is ours.
                self._do("UPDATE videos SET state = 0 WHERE state = 1")
            self._names: set[str] | None = None
        except BaseException:
            self.close()
            raise

    def _locked(self) -> Lock:
        file = self.path.with_name(f".{NAME}.lock")
        # The lock file says who holds it; it is written once we do.
        try:
            lock = Lock(self.path)
        except InvalidValue as error:
            said = ""
            with suppress(OSError):
                said = file.read_text("utf-8", "replace")[:200]
            who = said or "another process"
            raise InvalidValue(
                f"{self.path} is in use by {who}: wait until it ends, or write to another --out"
            ) from error
        with suppress(OSError):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            file.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        return lock

    def _open(self, new: bool) -> None:
        # Transactions are begun by hand: one for each change.
        self._base = sqlite3.connect(self.path, isolation_level=None)
        self._base.text_factory = lambda data: data.decode("utf-8", "replace")
        # A change is one append, not three waits for the disk. A kill loses nothing; a power cut may
        # lose the last ones, and then the records beside the outputs know what is finished.
        # Exclusive, so that no memory is shared, which network file systems cannot.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
            self._base.execute(f"PRAGMA {pragma}").fetchall()
        if new:
            self._base.executescript(f"BEGIN; {_TABLES} COMMIT;")

    def _compare(self, settings: Mapping[str, Any]) -> None:
        known = dict(self._base.execute("SELECT key, value FROM settings").fetchall())
        said = {key: json.dumps(value, sort_keys=True) for key, value in settings.items()}
        differ = next((key for key in said if known and known.get(key) != said[key]), None)
        if differ is not None:
            raise InvalidValue(
                f"{self.path} was made with another value of {differ!r} "
                f"({known.get(differ)!s:.80}, now {said[differ]:.80}): ask for the same, or begin anew "
                "with --overwrite"
            )
        with self._transaction():
            self._base.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", said.items())

    def knows(self, fingerprint: str) -> bool:
        """Tell whether all rows of the list with this fingerprint were added before."""
        found = self._base.execute("SELECT value FROM settings WHERE key = 'list'").fetchone()
        return found is not None and found[0] == fingerprint

    def add(self, rows: Iterable[VideoRow], fingerprint: str = "") -> int:
        """Add the rows that are not there yet; returns how many were there, or came twice.

        Args:
            fingerprint: of the list, for :meth:`knows`.
        """
        names = {n.casefold() for (n,) in self._base.execute("SELECT name FROM videos")}
        known = {key for (key,) in self._base.execute("SELECT row FROM videos")}
        skipped = 0

        def new() -> Iterator[tuple[bytes, str, str, bytes]]:
            nonlocal skipped
            for row in rows:
                if (key := row.key) in known:
                    skipped += 1
                    continue
                known.add(key)
                name = _free_name(row.source, names, len(known))
                names.add(name.casefold())
                yield os.fsencode(row.source), json.dumps(dict(row.asked)), name, key

        with self._told(), self._transaction():
            # All or none: a kill in between leaves no half of a list.
            self._base.executemany(
                "INSERT INTO videos (source, asked, name, row) VALUES (?, ?, ?, ?)", new()
            )
            if fingerprint:
                self._base.execute(
                    "INSERT OR REPLACE INTO settings VALUES ('list', ?)", (fingerprint,)
                )
        return skipped

    def retry_failed(self) -> None:
        """Let those that failed wait again, as if they had not been tried."""
        self._do("UPDATE videos SET state = 0, tries = 0 WHERE state = 3")

    def take(self) -> VideoRow | None:
        """Return the next video and mark it as running: those that failed before come last."""
        found = self._base.execute(
            "SELECT number, source, asked, name, COALESCE(frames, 0) FROM videos WHERE state = 0 "
            "ORDER BY tries, number LIMIT 1"
        ).fetchone()
        if found is None:
            return None
        number, source, asked, name, frames = found
        self._do("UPDATE videos SET state = 1 WHERE number = ?", number)
        return VideoRow(
            source=os.fsdecode(source), asked=json.loads(asked), name=name, number=number,
            frames=frames,
        )  # fmt: skip

    def done(self, number: int, frames: int, seconds: float) -> None:
        self._do(
            "UPDATE videos SET state = 2, error = NULL, frames = ?, seconds = ? WHERE number = ?",
            frames, seconds, number,
        )  # fmt: skip

    def advanced(self, number: int, frames: int) -> None:
        """Note that so many frames more of a long video are kept, and let the rest of it wait."""
        self._do(
            "UPDATE videos SET state = 0, tries = 0, frames = COALESCE(frames, 0) + ? "
            "WHERE number = ?",
            frames, number,
        )  # fmt: skip

    def failed(self, number: int, error: str) -> bool:
        """Note why a video failed; tells whether it is tried again."""
        self._do(
            "UPDATE videos SET error = ?, tries = tries + 1, "
            "state = CASE WHEN tries + 1 < ? THEN 0 ELSE 3 END WHERE number = ?",
            error.encode("utf-8", "replace").decode(), MOST_TRIES, number,
        )  # fmt: skip
        (state,) = self._base.execute(
            "SELECT state FROM videos WHERE number = ?", (number,)
        ).fetchone()
        return bool(state == WAITING)

    def give_back(self, number: int) -> None:
        """Let a running video wait again: it was not its fault that it did not end."""
        self._do("UPDATE videos SET state = 0 WHERE number = ?", number)

    def counts(self) -> dict[str, int]:
        """Return how many videos are in each state."""
        rows = self._base.execute("SELECT state, COUNT(*) FROM videos GROUP BY state").fetchall()
        return dict.fromkeys(_STATES, 0) | {_STATES[state]: count for state, count in rows}

    def failures(self, most: int = 1000) -> list[str]:
        """Return a sentence about each video that failed for good, the first ``most``."""
        rows = self._base.execute(
            "SELECT source, error FROM videos WHERE state = 3 ORDER BY number LIMIT ?", (most,)
        )
        return [f"{source.decode('utf-8', 'replace')}: {error}" for source, error in rows]

    def close(self) -> None:
        if hasattr(self, "_base"):
            self._base.close()
        self._lock.release()

    def _do(self, statement: str, *values: Any) -> None:
        with self._told(), self._transaction():
            self._base.execute(statement, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            # A full disk rolls back by itself in some cases.
            with suppress(sqlite3.OperationalError):
                self._base.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
            if full or isinstance(error, sqlite3.OperationalError):
                # A file that was moved away is "readonly" to SQLite.
                remedy = "make room there" if full else "see that it is still there"
                raise InvalidValue(
                    f"cannot write {self.path}: {error}; {remedy}, and go on with --resume"
                ) from error
            raise InvalidValue(
                f"{self.path} is damaged ({error}): begin anew with --overwrite"
            ) from error
        except OSError as error:
            raise cannot_write(self.path, error) from error


def _free_name(source: str, names: set[str], number: int) -> str:
    """Name the outputs of a video: by its stem, with its folder or a number where that is taken."""
    path = Path(source.rstrip("/"))
    stem = file_stem(path.stem.encode("utf-8", "replace").decode()) or "video"
    for name in (stem, f"{file_stem(path.parent.name)}-{stem}"):
        plain = name.encode("utf-8", "replace").decode().replace("\ufffd", "-")
        if plain.casefold() not in names:
            return plain
    return f"{number:07d}-{stem.encode('utf-8', 'replace').decode()}"
