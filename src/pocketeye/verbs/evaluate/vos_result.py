"""Say how well objects were followed: for a person, for ``--json``, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.text import problem_lines, text_table
from pocketeye.tracking.evaluation.result import Mean, VosResult, beaten_by
from pocketeye.tracking.evaluation.vos_models import BASELINES
from pocketeye.verb_result import Evaluation


@dataclass(frozen=True, kw_only=True)
class VosEvaluateResult(Evaluation):
    """Compare models on one set of clips, the one that was asked for first."""

    results: tuple[VosResult, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    command: tuple[str, ...]

    @property
    def jf(self) -> float:
        """Mean J&F of the model, 0 to 1."""
        return self.results[0].mean.jf

    def to_dict(self) -> dict[str, Any]:
        first, *others = (result.to_dict() for result in self.results)
        return {
            **first,
            "doubts": [str(doubt) for doubt in self.doubts],
            "baselines": others,
            "problems": list(self.problems),
            "files": list(self.files),
        }

    def lines(self) -> list[str]:
        result, *others = self.results
        header = ["sequence", "J&F", "J", "F", *(f"{other.model} J&F" for other in others)]
        beside = [other.by_sequence() for other in others]
        rows = [
            [name, *_cells(mean), *(_percent(means[name].jf) for means in beside)]
            for name, mean in result.by_sequence().items()
        ]
        total = ["mean", *_cells(result.mean), *(_percent(o.mean.jf) for o in others)]
        table = text_table(header, [*rows, total], right=range(1, len(header)))
        doubts = doubt_lines(self.doubts)
        return [*table, *self._summary(), *doubts, *problem_lines(self.problems)]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why the scores should not be taken at their word, if there is a reason."""
        result, *others = self.results
        return (*result.doubts, *beaten_by(result, others))

    def _summary(self) -> Iterator[str]:
        for result in self.results:
            mean, fps = result.mean, result.frames_per_second
            speed = f" · {fps:.1f} frames/s" if fps else ""
            yield (
                f"[bold]{escape(result.model)}[/bold] ({result.prompt}, {result.protocol}): "
                f"J&F {_percent(mean.jf)} · J recall {_percent(mean.j.recall)}, decay "
                f"{_percent(mean.j.decay)} · F recall {_percent(mean.f.recall)}, decay "
                f"{_percent(mean.f.decay)}{speed}"
            )
        count, data = len(self.results[0].scores), escape(self.results[0].data)
        yield f"{count} object{'s' if count > 1 else ''} of {data}"

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        # Baselines are there already, or were all that was asked for.
        others = {result.model for result in self.results}
        if others & set(BASELINES) or not self.command:
            return []
        return [shlex.join([*self.command, "--baselines"])]


def short_name(model: str) -> str:
    # A run is called by its folder's name, whatever path leads there.
    return Path(model).resolve().name if Path(model).is_dir() else model


def _cells(mean: Mean) -> list[str]:
    return [_percent(mean.jf), _percent(mean.j.mean), _percent(mean.f.mean)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
