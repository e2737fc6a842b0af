"""``pocketeye list``: the networks there are, what they cost, and what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye import models
from pocketeye.errors import InvalidValue, nearest
from pocketeye.models import count
from pocketeye.progress import task
from pocketeye.verbs._network import open_network
from pocketeye.verbs._records import KeptLatency, kept_latencies
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs._text import human_count, text_table


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """A registered network; counts are None where only names were asked for."""

    name: str
    params: int | None
    macs: int | None
    input_size: int | None
    measured: tuple[KeptLatency, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ListResult(VerbResult):
    """The networks that match, sorted by name."""

    models: tuple[ModelRow, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        if any(row.macs is None for row in self.models):
            return [row.name for row in self.models]
        lines = []
        for row in self.models:
            cost = (human_count(row.params or 0), human_count(row.macs or 0), str(row.input_size))
            texts = [str(latency) for latency in row.measured] or [""]
            lines.append((row.name, *cost, texts[0]))
            lines += [("", "", "", "", text) for text in texts[1:]]
        return text_table(("model", "params", "MACs", "input", "measured"), lines, right=(1, 2, 3))

    def next_commands(self) -> list[str]:
        return [f"pocketeye info {self.models[0].name}"]


def list_models(
    pattern: str = "*", *, include_timm: bool = False, results: Path = Path("results")
) -> ListResult:
    """List the networks: cost, input size and measured latency.

    Args:
        pattern: names to show, shell-style: 'fbnet_*'.
        include_timm: also the backbones of timm, by name only (every one trains and exports too).
        results: folder of latency records to show beside the networks, where there is one.

    Raises:
        InvalidValue: nothing matches.
    """
    names = models.list_models(pattern, include_timm=include_timm)
    if not names:
        close = nearest(pattern.strip("*"), models.list_models(include_timm=True))
        guess = f" Did you mean {close!r}?" if close else ""
        raise InvalidValue(f"no network matches {pattern!r}.{guess} (all: pocketeye list)")
    if include_timm:
        rows = [ModelRow(name=n, params=None, macs=None, input_size=None) for n in names]
        return ListResult(models=tuple(rows))
    kept = kept_latencies(results)
    rows = []
    with task("counting", len(names)) as bar:
        for name in names:
            network = open_network(name)
            counts = count(network.module, network.input_shape)
            rows.append(
                ModelRow(
                    name=name,
                    params=counts.params,
                    macs=counts.macs,
                    input_size=network.input_size,
                    measured=tuple(k for k in kept if k.subject == name),
                )
            )
            bar.advance()
    return ListResult(models=tuple(rows))
