"""Numbers and tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.markup import escape


def human_bytes(size: int) -> str:
    """``12.9 MB`` (decimal units, as disks and downloads count)."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """``0.3 s``, ``41 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def human_count(number: int) -> str:
    """``1.83 M``, ``385.0 M``, ``12.3 k``: MACs and parameters."""
    if number < 1000:
        return str(number)
    value = float(number)
    for unit in ("k", "M", "G", "T"):
        value /= 1000
        if value < 999.5 or unit == "T":
            break
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.1f} {unit}"


def human_percent(share: float | None) -> str:
    """``81.3 %`` of a share from 0 to 1; ``-`` where there is none."""
    return "-" if share is None or share != share else f"{100 * share:.1f} %"


def file_stem(name: str, most: int = 100) -> str:
    """Return a name that every file system takes: letters, digits, ``-``, ``_`` and ``.``."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:most]


def text_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[int] = (),
) -> list[str]:
    """Lines of an aligned table with a bold header; the columns in ``right`` lean to the right."""
    grid = [list(header), *[list(row) for row in rows]]
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
    """The same table in Markdown."""
    marks = ["--:" if i in right else ":--" for i in range(len(header))]
    body = [list(header), marks, *[[c.replace("|", "\\|") for c in row] for row in rows]]
    return ["| " + " | ".join(row) + " |" for row in body]


def problem_lines(problems: tuple[str, ...], most: int = 5) -> list[str]:
    """What was left out of the data, for a person to read."""
    if not problems:
        return []
    shown = [f"  {escape(problem)}" for problem in problems[:most]]
    more = [f"  … and {len(problems) - most} more"] if len(problems) > most else []
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return [f"[yellow]{count} in the data[/yellow]:", *shown, *more]


def inputs_left_out(problems: Sequence[str], most: int = 10) -> list[str]:
    """What could not be read of the images that were named."""
    if not problems:
        return []
    count = "1 input is" if len(problems) == 1 else f"{len(problems)} inputs are"
    more = [f"  … and {len(problems) - most} more"] if len(problems) > most else []
    return [
        f"[yellow]{count} left out[/yellow]:",
        *(f"  {escape(problem)}" for problem in problems[:most]),
        *more,
    ]


def path_end(name: str, most: int) -> str:
    """The end of a path says more than its beginning."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
