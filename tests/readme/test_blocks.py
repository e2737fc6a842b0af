"""The commands and the Python of README and docs run, and print what the documents show.

The marked blocks of one document run one after another in one folder, as a reader would run them.
Set ``POCKETEYE_ACCEPT=1`` to write what was printed into the documents.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pocketeye.cli import main
from tests.readme.blocks import DOCUMENTS, ROOT, Block, blocks, differs
from tests.readme.workspaces import prepare

_ACCEPT = os.environ.get("POCKETEYE_ACCEPT") == "1"
_QUICK = [d for d in DOCUMENTS if any(not block.slow for block in blocks(d))]
_SLOW = [d for d in DOCUMENTS if any(block.slow for block in blocks(d))]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_there_are_blocks_that_run():
    assert len(_QUICK) >= 4


@pytest.mark.parametrize("document", _QUICK, ids=_name)
def test_blocks_run(document, tmp_path, monkeypatch, capfd):
    _run([block for block in blocks(document) if not block.slow], tmp_path, monkeypatch, capfd)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", _SLOW, ids=_name)
def test_long_blocks_run(document, tmp_path, monkeypatch, capfd):
    _run(list(blocks(document)), tmp_path, monkeypatch, capfd)


def _run(chosen: list[Block], folder: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "110")
    for block in chosen:
        for name in block.workspaces:
            prepare(name, folder)
        if block.language == "python":
            capfd.readouterr()
            exec(compile(block.code, f"{block.document}:{block.line}", "exec"), {})
            missing = differs(block.printed, capfd.readouterr().out)
            assert missing is None, f"{_name(block.document)}:{block.line}\nshown:   {missing}"
            continue
        for command in block.commands:
            capfd.readouterr()
            code = main(block.argv(command))
            out, err = capfd.readouterr()
            place = f"{_name(block.document)}:{block.line}: pocketeye {' '.join(command.argv)}"
            assert code == 0, f"{place}\n{err}"
            if command.output and _ACCEPT:
                _accept(block, command.output, out)
            elif command.output:
                missing = differs(command.output, out)
                assert missing is None, f"{place}\nshown:   {missing}\nprinted:\n{out}"


def _accept(block: Block, shown: tuple[str, ...], printed: str) -> None:
    """Replace the lines a document shows; a block with ``…`` is for a person to edit."""
    if "…" in shown:
        return
    text = block.document.read_text(encoding="utf-8")
    lines = "\n".join(line.rstrip() for line in printed.splitlines() if line.strip())
    block.document.write_text(text.replace("\n".join(shown), lines), encoding="utf-8")
