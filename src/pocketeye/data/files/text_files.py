"""Text files as other programs leave them: byte order marks, suffixes in capitals, YAML's odd words."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pocketeye.errors import InvalidValue

# Notepad and PowerShell write these marks; without one the text is UTF-8.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(file: Path) -> str:
    """Return the text of a file, without its byte order mark; bytes that are no text become U+FFFD.

    Raises:
        OSError: the file cannot be read.
    """
    encoded = file.read_bytes()
    for mark, encoding in _MARKS:
        if encoded.startswith(mark):
            return encoded[len(mark) :].decode(encoding, "replace")
    return encoded.decode("utf-8", "replace")


def read_lines(file: Path) -> list[str]:
    """Return the lines of a file that hold something, without the space around them."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


class _AsWritten(yaml.BaseLoader):
    """Makes text of every value. References are refused: a few lines of them stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "references (*name) are not taken", mark)
        return super().compose_node(parent, index)


def read_yaml_as_written(file: Path) -> Any:
    """Read a YAML whose single values all stay text, as they are written.

    YAML takes ``no``, ``on`` and ``off`` for truth values, ``1e3`` for a number and ``2024-01-01`` for
    a date; where names are expected they are names.

    Raises:
        InvalidValue: no YAML.
    """
    try:
        return yaml.load(read_text(file), Loader=_AsWritten)
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise InvalidValue(f"{file} cannot be read as yaml: {error}") from error


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder that end in one of ``suffixes``, in small letters or capitals.

    Args:
        folder: where to look, not deeper; it need not exist.
        suffixes: in small letters, ``.txt``.
    """
    return sorted(_files(folder, suffixes))


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        # macOS leaves `._name` beside every file on foreign disks.
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            yield path
