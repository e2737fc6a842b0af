"""Code blocks of the documents that are run, and what they promise to print.

A block is run where the line before it is a marker:

    <!-- run: examples -->                       in a folder with these workspaces (workspaces.py)
    <!-- run slow: photos; train --epochs 1 -->  in the slow tests; options that keep it short, by verb
    <!-- not yet run: photos -->                 neither run nor parsed: the command is being written

In a ``console`` block a line ``$ COMMAND`` is a command (continued with a backslash); lines below it
are its output. They are compared without their numbers, and a line ``…`` stands for any lines. In a
``python`` block lines that begin with ``#>`` are what it prints.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])

_MARKED = re.compile(
    r"^(?P<indent> *)<!-- (?P<what>(?:not yet )?run(?: slow)?): (?P<how>[^>]*?) -->\n"
    r" *```(?P<language>\w+)\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
_NUMBER = re.compile(r"\d[\d.,]*")
_UNIT = re.compile(r"(?:# (?:h|min|ms|s|B|kB|MB)\b ?)+")  # also 1 min 04 s


@dataclass(frozen=True, kw_only=True)
class Command:
    """``argv`` without the leading ``pocketeye``; ``output`` are the lines the document shows."""

    argv: tuple[str, ...]
    output: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A marked block.

    Attributes:
        workspaces: names of the folders' contents it needs.
        options: what to add to a command, by its verb.
        language: ``console`` or ``python``.
    """

    document: Path
    line: int
    slow: bool
    workspaces: tuple[str, ...]
    options: dict[str, tuple[str, ...]]
    language: str
    code: str

    @property
    def commands(self) -> list[Command]:
        found: list[Command] = []
        for part in re.split(r"^\$ ", self.code.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            line, *output = part.rstrip("\n").splitlines()
            name, *argv = shlex.split(line, comments=True)
            assert name == "pocketeye", f"{self.document.name}:{self.line}: {line}"
            found.append(Command(argv=tuple(argv), output=tuple(x for x in output if x.strip())))
        return found

    @property
    def printed(self) -> tuple[str, ...]:
        """What a Python block shows as its output."""
        lines = self.code.splitlines()
        return tuple(line.removeprefix("#> ") for line in lines if line.startswith("#> "))

    def argv(self, command: Command) -> list[str]:
        """The arguments of a command; those that keep it short replace its own."""
        argv, short = list(command.argv), self.options.get(command.argv[0], ())
        for option in short:
            if option.startswith("--") and option in argv:
                del argv[argv.index(option) : argv.index(option) + 2]
        return [*argv, *short]


def blocks(document: Path) -> Iterator[Block]:
    """The blocks of a document that are run, in its order."""
    text = document.read_text(encoding="utf-8")
    for match in _MARKED.finditer(text):
        if match["what"].startswith("not yet"):
            continue
        names, *options = (part.split() for part in match["how"].split(";"))
        indent = re.compile("^" + match["indent"], re.MULTILINE)
        yield Block(
            document=document,
            line=text.count("\n", 0, match.start()) + 1,
            slow=match["what"] == "run slow",
            workspaces=tuple(names),
            options={verb: tuple(rest) for verb, *rest in options},
            language=match["language"],
            code=indent.sub("", match["code"]),
        )


def without_unwritten(text: str) -> str:
    """The text of a document without the blocks marked ``not yet``."""
    return _MARKED.sub(lambda m: "" if m["what"].startswith("not yet") else m[0], text)


def differs(shown: tuple[str, ...], printed: str) -> str | None:
    """The first line a document shows that was not printed, or None.

    Numbers, units, columns and the sizes of files may differ from machine to machine.
    """
    rest = [_plain(line) for line in printed.splitlines() if line.strip()]
    anywhere = False
    for line in shown:
        if line.strip() == "…":
            anywhere = True
            continue
        wanted = _plain(line)
        if anywhere and wanted in rest:
            rest = rest[rest.index(wanted) + 1 :]
        elif rest[:1] == [wanted]:
            rest = rest[1:]
        else:
            return line
        anywhere = False
    return None


def _plain(line: str) -> str:
    return _UNIT.sub("# unit", " ".join(_NUMBER.sub("#", line).split()))
