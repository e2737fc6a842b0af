"""Sum up a training from its rows, and write what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pocketeye.metrics import known
from pocketeye.runs import (
    BEST,
    CURVES,
    RESULT,
    RunFolder,
    sha256_of,
)
from pocketeye.training.engine.reporting.figures import save_curves
from pocketeye.training.engine.reporting.judging import Row, best_row, chance_of, doubts_of_training


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """Hold what a training came to.

    Attributes:
        metric: name of what counts, for a person (``top-1``, ``box AP``, ``mean IoU``, ``IoU``).
        value: of the best epoch on validation, 0 to 1; nan where validation has nothing to judge.
        best_epoch: counted from 1.
        epochs: how many there were.
        seconds: of all epochs together.
        chance: what a network reaches that learnt nothing, in words; empty where there is no such level.
        doubts: why ``value`` should not be taken at its word.
    """

    metric: str
    value: float
    best_epoch: int
    epochs: int
    seconds: float
    chance: str = ""
    doubts: tuple[str, ...] = ()


def sum_up(
    rows: Sequence[Row], metrics: Mapping[str, str], num_classes: int | None, num_val: int | None
) -> FitResult:
    """Return what a training came to.

    Args:
        rows: of ``metrics.csv``, one per epoch.
        metrics: columns with their words for a person; the first one decides which epoch is the best.
        num_classes: that answers are one of; None where there are no such answers.
        num_val: samples of validation, where they are counted.
    """
    key, label = next(iter(metrics.items()))
    best = best_row(rows, key)
    doubts = doubts_of_training(best, key, label, num_classes=num_classes, num_val=num_val)
    return FitResult(
        metric=label,
        value=best[key],
        best_epoch=int(best["epoch"]) + 1,
        epochs=len(rows),
        seconds=round(sum(row["seconds"] for row in rows), 3),
        chance=chance_of(best, num_classes),
        doubts=tuple(map(str, doubts)),
    )


def save_result(
    run: RunFolder,
    result: FitResult,
    rows: Sequence[Row],
    metrics: Mapping[str, str],
    title: str,
    counts: Mapping[str, int],
) -> None:
    """Write ``curves.png`` and ``result.json``; see :func:`sum_up` for rows and metrics.

    Args:
        title: network and data, for the heading of the curves.
        counts: whole numbers to keep, such as ``num_val``.
    """
    save_curves(rows, run / CURVES, f"{run.path.name}: {title}", metrics)
    key = next(iter(metrics))
    best = best_row(rows, key)
    columns = {name.partition("/")[2]: known(best[name]) for name in metrics if name in best}
    run.write_json(RESULT, {
        **asdict(result), "value": known(result.value), **columns,
        "last_value": known(rows[-1][key]), **counts,
        "weights": BEST, "weights_sha256": sha256_of(run / BEST),
    })  # fmt: skip
