"""Copy the tables of the records into the documents that show them.

    python benchmarks/fill_tables.py

A document shows a record between `<!-- table: results/NAME.md -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _filled(match: re.Match[str]) -> str:
    record = (ROOT / match[2]).read_text(encoding="utf-8")
    table = [line for line in record.splitlines() if line.startswith("|")]
    return match[1] + "\n".join(table) + "\n\n" + match[3]


def main() -> None:
    for document in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("results/*.md")]:
        text = document.read_text(encoding="utf-8")
        filled = _BLOCK.sub(_filled, text)
        if filled != text:
            document.write_text(filled, encoding="utf-8")
            print(f"filled {document.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
