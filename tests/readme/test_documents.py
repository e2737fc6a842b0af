"""What the documents promise: commands parse, tables are the records, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pocketeye.cli.app import build_app
from tests.readme.blocks import without_unwritten

ROOT = Path(__file__).parents[2]
_FOLDERS = ("docs", "examples", "results")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md")] + [path for folder in _FOLDERS for path in ROOT.glob(f"{folder}/**/*.md")]
)
# A command in a code block: indented or fenced, continued with a backslash.
_COMMAND = re.compile(r"^(?:    |\$ )?(pocketeye [a-z][^\\\n]*(?:\\\n[^\\\n]*)*)$", re.MULTILINE)
_BLOCK = re.compile(r"```(?:console|sh)?\n(.*?)```|((?:^    .*\n)+)", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(r"<!-- table: (\S+) -->\n(.*?)<!-- end -->", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def commands() -> list[str]:
    found = []
    for document in DOCUMENTS:
        text = without_unwritten(document.read_text(encoding="utf-8"))
        for block in _BLOCK.finditer(text):
            for match in _COMMAND.finditer(block[1] or block[2]):
                command = match[1].replace("\\\n", " ").partition("  #")[0].strip()
                if "[OPTIONS]" not in command:
                    found.append(command)
    return sorted(set(found))


def test_there_are_commands_in_the_documents():
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_command_parses(command):
    tokens = shlex.split(command)[1:]
    everywhere = {"--json", "--debug"}
    tokens = [t for t in tokens if t not in everywhere]
    if "--config" in tokens:
        del tokens[tokens.index("--config") : tokens.index("--config") + 2]
    build_app().parse_args(tokens, print_error=False, exit_on_error=False)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_tables_are_those_of_the_records(document):
    for name, shown in _TABLE.findall(document.read_text(encoding="utf-8")):
        record = (ROOT / name).read_text(encoding="utf-8")
        table = [line for line in record.splitlines() if line.startswith("|")]
        assert shown.split("\n\n")[0].strip().splitlines() == table


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    for target in _LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
