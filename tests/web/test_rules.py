"""The rules of a session are the same in JavaScript: both pass the cases that Python makes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pocketeye.exporting.web import page_files
from pocketeye.models.task import CLASSIFY, TRACK
from tests.web.make_vectors import make

CHECK = Path(__file__).with_name("check_vectors.mjs")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run JavaScript")
def test_javascript_passes_the_cases_of_python(tmp_path: Path) -> None:
    for name, path in {**page_files(CLASSIFY), **page_files(TRACK)}.items():
        shutil.copy(path, tmp_path / name)
    done = subprocess.run(
        ["node", str(CHECK), str(tmp_path)], input=json.dumps(make()), capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "equal", done.stderr


def test_cases_hold_all_rules_and_are_the_same_every_time() -> None:
    cases = make()
    assert cases == make()
    assert {case["rule"] for case in cases["memory"]} == {"recent", "visible", "distinct"}
    reads = [s["reads"] for case in cases["memory"] for s in case["steps"] if s.get("reads")]
    assert max(len(r["maps"]) for r in reads) > 5
    assert len({tuple(r["slots"]) for r in reads}) > 10
