"""Run ``pocketeye demo``: the whole way on real images, from this machine to a network that fits it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pocketeye.data import BLOOD_CELLS
from pocketeye.errors import InvalidValue
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import load_space
from pocketeye.runs import make_folder
from pocketeye.tracking.demo import track_demo
from pocketeye.verb_result import VerbResult
from pocketeye.verbs.demo.report import write_demo_report
from pocketeye.verbs.demo.result import DemoResult
from pocketeye.verbs.evaluate.classify import evaluate_classifier
from pocketeye.verbs.export import export
from pocketeye.verbs.measure import measure
from pocketeye.verbs.search import search

_Result = TypeVar("_Result", bound=VerbResult)
SPACE = DATA = BLOOD_CELLS
_TARGET_SHARE = 0.75  # of a middling network: to be reached, but not by any


def demo(
    *,
    out: Path = Path("out/demo"),
    target_ms: float | None = None,
    epochs: int = 12,
    train_epochs: int = 12,
    seed: int = 0,
    overwrite: bool = False,
) -> DemoResult:
    """Measure this machine, search a network for it, train, export, prove, track: minutes on two cores.

    The images are the photographs of blood cells that come along, and for the tracker two photographs
    of scikit-learn, so no network is needed.

    Args:
        out: folder of everything that is written.
        target_ms: milliseconds the network may take at most; by default three quarters of what a
            middling random network of the space takes here.
        epochs: epochs of the search.
        train_epochs: epochs of the training from scratch.
        seed: of everything random.
        overwrite: start again in a folder that holds a demo.

    Raises:
        InvalidValue: the folder holds a demo already, or the target cannot be reached.
    """
    table_path, folder = out / "device.latency.json", out / "search"
    if table_path.exists() and not overwrite:
        raise InvalidValue(
            f"{out} holds a demo already: start again with --overwrite or choose another --out"
        )
    make_folder(out)
    seconds: dict[str, float] = {}

    def step(name: str, verb: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
        start = time.perf_counter()
        result = verb(*args, **options)
        seconds[name] = time.perf_counter() - start
        return result

    measured = step("measure", measure, SPACE, out=table_path, overwrite=overwrite, seed=seed)
    # Another seed: the networks must not be those of the calibration.
    checked = step("check", measure, check=table_path, seed=seed + 1)
    table = LatencyTable.load(table_path)
    searched = step(
        "search",
        search,
        table=table_path,
        target_ms=_middling(table, seed) if target_ms is None else target_ms,
        data=DATA,
        out=folder,
        epochs=epochs,
        train_epochs=train_epochs,
        seed=seed,
        overwrite=overwrite,
    )
    exported = step(
        # More than by default: on few images int8 and fp32 agree by chance.
        "export",
        export,
        str(folder),
        data=DATA,
        samples=256,
        out=out / "onnxruntime-fp32",
    )
    evaluated = step("eval", evaluate_classifier, str(exported.artifact.folder), data=DATA)
    tracked = step("track", track_demo, out)
    result = DemoResult(
        out=out,
        report=out / "report.html",
        measured=measured,
        checked=checked,
        searched=searched,
        exported=exported,
        evaluated=evaluated,
        tracked=tracked,
        seconds=seconds,
        epochs=(epochs, train_epochs),
    )
    write_demo_report(result)
    return result


def _middling(table: LatencyTable, seed: int) -> float:
    """Return three quarters of the median predicted latency of random networks, to three digits."""
    space, rng = load_space(SPACE), random.Random(seed)
    median = statistics.median(table.predict(space.sample(rng)) for _ in range(200))
    return float(f"{_TARGET_SHARE * median:.3g}")
