"""Write what an evaluation of following leaves in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pocketeye.metrics.vos import TOLERANCE
from pocketeye.outputs import held
from pocketeye.provenance import environment
from pocketeye.runs import make_folder, write_atomic, write_table
from pocketeye.tracking.evaluation.result import HEADER, VosResult
from pocketeye.tracking.evaluation.strip import draw_strip

JSON, TABLE, STRIP = "vos.json", "vos.csv", "worst.png"


def save_vos(
    results: Sequence[VosResult], folder: Path, problems: Sequence[str] = ()
) -> list[Path]:
    """Write ``vos.json``, ``vos.csv`` (a row per object) and ``worst.png`` into ``folder``.

    The folder is made if needed; an earlier evaluation in it is replaced. Everything is made before
    the first file is written.

    Args:
        results: of one or more models on the same data.
        problems: what was wrong with the data.

    Raises:
        InvalidValue: the folder cannot be made or written.
    """
    strip = draw_strip(results)
    data = {
        "data": results[0].data,
        "boundary_tolerance": TOLERANCE,
        "problems": list(problems),
        "results": [result.to_dict() for result in results],
        "environment": environment(),
    }
    text = json.dumps(data, indent=1) + "\n"
    make_folder(folder)
    # A second evaluation may end at the same time: its files must not mix with these.
    with held(folder / JSON, wait=True):
        rows = (row for result in results for row in result.rows())
        return [
            write_atomic(folder / JSON, text),
            write_table(folder / TABLE, HEADER, rows),
            write_atomic(folder / STRIP, strip),
        ]
