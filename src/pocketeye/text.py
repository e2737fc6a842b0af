"""Write numbers and tables as text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.markup import escape, render

from pocketeye.errors import MissingExtra


def human_bytes(size: int) -> str:
    """Write ``12.9 MB`` (decimal units, as disks and downloads count)."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        # Rounded it would be 1000.0 of the unit below.
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """Write ``0.3 s``, ``41 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def human_count(number: int) -> str:
    """Write ``1.83 M``, ``385.0 M``, ``12.3 k``: MACs and parameters."""
    if number < 1000:
        return str(number)
    value = float(number)
    for unit in ("k", "M", "G", "T"):
        value /= 1000
        if value < 999.5 or unit == "T":
            break
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.1f} {unit}"


def human_percent(share: float | None, digits: int = 1) -> str:
    """Write ``81.3 %`` of a share from 0 to 1; ``-`` where there is none."""
    # NaN is the only number that differs from itself.
    return "-" if share is None or share != share else f"{100 * share:.{digits}f} %"


def counted(count: int, what: str) -> str:
    """Write ``1 frame``, ``2 frames``: of words that take an s."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def some(names: Sequence[object], most: int = 5) -> str:
    """Return the first few, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def note_lines(notes: Iterable[str]) -> list[str]:
    """Return a line for each note on what was written."""
    return [f"[yellow]note:[/yellow] {escape(note)}" for note in notes]


def file_stem(name: str, most: int = 100) -> str:
    """Return a name that every file system takes: letters, digits, ``-``, ``_`` and ``.``."""
    # A few letters are allowed, the others differ between systems.
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:most]


def text_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[int] = (),
) -> list[str]:
    """Write lines of an aligned table with a bold header; the columns in ``right`` lean to the right."""
    grid = [list(header), *[[visible(cell).replace("\n", _HIDDEN) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in grid) for i in range(len(header))]
    lines = []
    for row in grid:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(escape("  ".join(cells).rstrip()))
    lines[0] = f"[bold]{lines[0]}[/bold]"
    return lines


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()
) -> list[str]:
    """Write the same table in Markdown."""
    marks = ["--:" if i in right else ":--" for i in range(len(header))]
    body = [list(header), marks, *[[c.replace("|", "\\|") for c in row] for row in rows]]
    return ["| " + " | ".join(row) + " |" for row in body]


def problem_lines(problems: tuple[str, ...], most: int = 5) -> list[str]:
    """Say what was left out of the data, for a person to read."""
    if not problems:
        return []
    shown = [f"  {escape(problem)}" for problem in problems[:most]]
    more = [f"  … and {len(problems) - most} more"] if len(problems) > most else []
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return [f"[yellow]{count} in the data[/yellow]:", *shown, *more]


def inputs_left_out(problems: Sequence[str], most: int = 10) -> list[str]:
    """Say what could not be read of the images that were named."""
    if not problems:
        return []
    count = "1 input is" if len(problems) == 1 else f"{len(problems)} inputs are"
    more = [f"  … and {len(problems) - most} more"] if len(problems) > most else []
    return [
        f"[yellow]{count} left out[/yellow]:",
        *(f"  {escape(problem)}" for problem in problems[:most]),
        *more,
    ]


_HIDDEN = "�"
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), _HIDDEN)


def visible(text: str) -> str:
    """Return a text without control characters but for ``\\n`` and ``\\t``.

    File names and classes may hold some, with which a terminal would do what they say.
    """
    return text.translate(_CONTROL)


def is_unicode_text(text: str) -> bool:
    """Tell whether a name can be written into a file of text; names of files may be of any bytes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def path_end(name: str, most: int) -> str:
    """Shorten a path from its beginning: its end says more."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def plain_text(lines: Iterable[str]) -> str:
    """Return lines with rich's markup as text without."""
    return "\n".join(render(line).plain for line in lines)


_MOST_CHARACTERS = 48  # of one value in a repr
_MOST_FIELDS = 8
_MOST_HTML_ROWS = 50


class Shown:
    """Show a result in Python: short as a value, a table in a notebook, a frame in pandas.

    For frozen dataclasses, which say their :meth:`rows`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # a dataclass makes its own, with every array and every row, unless the class has one
        if "__repr__" not in vars(cls):
            cls.__repr__ = Shown.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        said = [
            f"{field.name}={_brief(getattr(self, field.name))}"
            for field in fields(self)  # type: ignore[arg-type]
            if field.repr and getattr(self, field.name) is not None
        ]
        more = ["…"] if len(said) > _MOST_FIELDS else []
        return f"{type(self).__name__}({', '.join([*said[:_MOST_FIELDS], *more])})"

    def rows(self) -> list[dict[str, Any]]:
        """Return plain values, a row for each of what was found."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """Return :meth:`rows` as a ``pandas.DataFrame``.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")
        except ImportError as error:
            raise MissingExtra("to_pandas", "pandas", "pandas") from error
        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        return html_table(self.rows())


def html_table(rows: Sequence[Mapping[str, Any]], most: int = _MOST_HTML_ROWS) -> str:
    """Return an HTML table of the first rows; how many more there are is said below."""
    if not rows:
        return "<p>nothing</p>"
    head = "".join(f"<th>{html.escape(str(key))}</th>" for key in rows[0])
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row.values())
        + "</tr>"
        for row in rows[:most]
    )
    more = f"<p>… and {len(rows) - most} more</p>" if len(rows) > most else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _brief(value: Any) -> str:
    """Return a value where it is short, else what it is and how much of it there is."""
    if hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str | int | float | bool):
        text = repr(value)
        return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    if isinstance(value, Sized):
        short = isinstance(value, tuple | list) and all(isinstance(v, int | float) for v in value)
        return repr(value) if short and len(value) <= 4 else f"<{len(value)}>"
    return f"<{type(value).__name__}>"
