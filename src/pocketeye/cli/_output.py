"""Keep stdout for the result and nothing else; everything said on the way goes to stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pocketeye.bars import LineReporter, RichReporter
from pocketeye.cli._streams import is_unicode, output, say
from pocketeye.progress import reporting
from pocketeye.text import human_bytes, human_seconds, visible
from pocketeye.verb_result import VerbResult

_PACKAGE = Path(__file__).resolve().parents[1]


class StdoutConsole(Console):
    """Keep Rich's console from its own exit when the reader of a pipe goes away."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _ConsoleHandler(logging.Handler):
    """Log lines through the console of the bars, so that neither tears the other."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # INFO is what happens: no word before it. Warnings say that they are some.
        plain = record.levelno == logging.INFO or getattr(record, "plain", False)
        prefix = "" if plain else f"{record.levelname.lower()}: "
        text = prefix + self.format(record)
        self._console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def narration(*, debug: bool) -> Iterator[None]:
    """Show bars and log lines on stderr for the length of the block.

    On a terminal: bars and INFO. Elsewhere: now and then a line, WARNING. With ``debug``: DEBUG
    everywhere.
    """
    console = Console(stderr=True)
    logger, handler = logging.getLogger("pocketeye"), _ConsoleHandler(console)
    before = logger.level
    # In a pipe or a log bars cannot move, and notes would stand among lines of other programs.
    quiet = logging.INFO if console.is_terminal else logging.WARNING
    logger.setLevel(logging.DEBUG if debug else quiet)
    logger.addHandler(handler)
    reporter = RichReporter(console) if console.is_terminal else LineReporter(console)
    try:
        with reporting(reporter), _warnings_narrated(logger):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextlib.contextmanager
def _warnings_narrated(logger: logging.Logger) -> Iterator[None]:
    """Show warnings of ours as lines of the log, without the place in the code; others as ever."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def shown(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            *rest: Any,
            **options: Any,
        ) -> None:
            # Ours alone: what libraries warn of keeps its place in their code.
            if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
                logger.warning("%s", message)
            else:
                before(message, category, filename, *rest, **options)

        warnings.showwarning = shown
        yield


@contextlib.contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Send to stderr whatever libraries and child processes print on stdout inside the block.

    File descriptor 1 itself is turned round: C code and the processes of a distributed run write
    there without asking Python.
    """
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a service may run with them closed
            saved = os.dup(1)
            stack.callback(os.close, saved)
            os.dup2(2, 1)
            stack.callback(os.dup2, saved, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


def show(result: VerbResult, seconds: float, *, as_json: bool) -> None:
    """Print a result: one JSON object, or lines, files with sizes, and what to run next."""
    if as_json:
        write_json(result.to_dict())
        return
    with output():
        _show_lines(result, seconds)


def _show_lines(result: VerbResult, seconds: float) -> None:
    # Files and commands may be long: they must not be broken.
    console = StdoutConsole()
    for line in result.lines():
        console.print(visible(line), soft_wrap=True)
    took = f", {human_seconds(seconds)}"
    for path in result.written():
        _labelled(console, "wrote", f"{path}  ({human_bytes(size_of(path))}{took})")
        took = ""
    for command in result.next_commands():
        _labelled(console, "next", command)


def write_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout; numbers JSON has no word for become null."""
    with output():
        ascii_only = not is_unicode(sys.stdout)
        # JSON has no NaN; a stream without Unicode gets escapes.
        text = json.dumps(_plain(data), ensure_ascii=ascii_only, allow_nan=False)
        sys.stdout.write(text + "\n")


def show_error(text: str, *, as_json: bool) -> None:
    """Print ``error: text`` on stderr, and as JSON on stdout where that was asked for."""
    if as_json:
        with contextlib.suppress(OSError):  # the sentence itself may be about that
            write_json({"error": text})
    say(f"error: {visible(text)}")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; of what has gone since, none."""
    files: Iterable[Path] = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):  # another process may have replaced it
            total += file.stat().st_size if file.is_file() else 0
    return total


def _labelled(console: Console, label: str, text: str) -> None:
    console.print(f"[bold]{label:<5}[/bold]  ", end="")
    console.print(visible(text), markup=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
