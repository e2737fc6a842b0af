"""Write the search report: an HTML file that works offline, its PNGs beside it, a CSV of candidates."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketeye import pages
from pocketeye.models.ops import AdditiveOp
from pocketeye.models.space import SearchSpace
from pocketeye.runs import write_atomic
from pocketeye.searching.deriving.derived import Candidate, Derived
from pocketeye.searching.metric import metric_key
from pocketeye.searching.outcome import Cost, Trained
from pocketeye.searching.report.swaps import LibraryView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT, CANDIDATES_CSV = "report.html", "candidates.csv"

Panels = Sequence[tuple[str, Sequence[tuple[str, str]]]]


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """Hold everything a report shows.

    Attributes:
        layer_ms: calibrated latency of every layer of the chosen network, stem to head; of a
            segmenter to the last block, and ``rest_ms`` that of pyramid and head.
        where: device, runtime, threads and precision all latencies hold for.
        history: a row of metrics per epoch, with ``epoch``.
        panels: what of it is drawn, as ``plots.search_curves`` takes it.
        theta_history: softmax(theta) (epochs, layers, ops); ``theta_epochs`` their numbers.
        library: what was considered of a block library, where there was one.
        costs: of every step; the name of the search is "search", of the training "training".
        tables: facts shown as they are (settings, latency table, environment), by heading.
    """

    title: str
    space: SearchSpace
    derived: Derived
    layer_ms: Sequence[float]
    rest_ms: float = 0.0
    where: str
    clock: str = ""
    history: Sequence[Mapping[str, float]]
    panels: Panels
    theta_history: NDArray[np.float64]
    theta_epochs: Sequence[int]
    library: LibraryView | None = None
    trained: Trained | None = None
    costs: Sequence[Cost] = ()
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image:
    title: str
    file: str
    alt: str
    caption: str
    text: str


def write_report(report: SearchReport, folder: Path) -> list[Path]:
    """Write ``report.html``, the PNGs and ``candidates.csv`` into ``folder``; the HTML comes first.

    The HTML holds copies of the images, so it can be mailed alone.
    """
    # Matplotlib is slow to import: only those who draw wait for it.
    from pocketeye import __version__
    from pocketeye.searching.report import plots

    figures, images = [], []
    for image, drawn in _draw(report):
        path = plots.save(drawn, folder / image.file)
        images.append(path)
        figures.append({"png": pages.embedded(path), **{k: getattr(image, k) for k in _SHOWN}})
    derived = report.derived
    html = pages.render(
        "search.html.j2",
        title=report.title,
        where=report.where,
        clock=report.clock,
        facts=_facts(report),
        notes=report.notes,
        figures=figures,
        num_images=derived.comparison.num_images,
        metric=derived.metric,
        tolerance=f"{derived.tolerance:.0%}",
        target=f"{derived.target_ms:g} ms",
        searched=[_row(c, i, derived) for i, c in enumerate(derived.candidates, 1)],
        random=[_row(c, i, derived) for i, c in enumerate(derived.random, 1)],
        comparison=derived.comparison.sentence(),
        rounds=_rounds(derived),
        library=report.library,
        costs=[
            {"name": c.name, "wall": f"{c.seconds:,.1f} s",
             "core_hours": f"{c.cpu_seconds / 3600:.4f}", "device": c.device}
            for c in report.costs
        ],
        cost_sentence=cost_sentence(report.costs),
        commands=report.commands,
        facts_tables=[(name, list(rows.items())) for name, rows in report.tables.items()],
        architecture=str(derived.best.architecture).replace("|", "\n  "),
        version=__version__,
    )  # fmt: skip
    page = write_atomic(folder / REPORT, html)
    table = write_atomic(folder / CANDIDATES_CSV, candidates_csv(derived))
    return [page, table, *images]


def candidates_csv(derived: Derived) -> str:
    """List every searched and random network, one a row, with units in the column names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("kind", "rank", "origin", "predicted_ms", "measured_ms", "p10_ms", "p90_ms", "drift",
         f"supernet_{metric_key(derived.metric)}", "supernet_loss", "chosen", "architecture")
    )  # fmt: skip
    for kind, group in (("searched", derived.candidates), ("random", derived.random)):
        for rank, c in enumerate(group, 1):
            spread = [f"{ms:.6g}" for ms in c.spread_ms or ()] or ["", ""]
            writer.writerow(
                (kind, rank, c.origin, f"{c.predicted_ms:.6g}",
                 "" if c.measured_ms is None else f"{c.measured_ms:.6g}", *spread,
                 "" if c.drift is None else f"{c.drift:.4g}",
                 # Empty, not 0: what was not measured has no value.
                 f"{c.supernet_score:.6g}", f"{c.supernet_loss:.6g}",
                 int(c is derived.best), c.architecture)
            )  # fmt: skip
    return text.getvalue()


def cost_sentence(costs: Sequence[Cost]) -> str:
    """Search beside one plain training, or nothing where one of them is missing."""
    by_name = {cost.name: cost for cost in costs}
    # A ratio needs both, and a training that took time.
    if not {"search", "training"} <= set(by_name) or by_name["training"].seconds <= 0:
        return ""
    # With a library everything before the training is counted: its networks learn while they are ranked.
    parts = ("teacher", "library", "search", "derivation") if "library" in by_name else ("search",)
    seconds = sum(by_name[part].seconds for part in parts if part in by_name)
    training = by_name["training"].seconds
    what = "The search (teacher, library, theta and ranking)" if len(parts) > 1 else "The search"
    return (
        f"{what} took {seconds / training:.2f} times as long as training the "
        f"chosen network once ({seconds:,.1f} s against {training:,.1f} s)."
    )


_STRIP_CAPTION = (
    "One box per layer: height is the expansion, shade the kernel size, hatched where the 1x1 "
    "convolutions are grouped. Below: the layer's time in the table."
)
_STRIP_ADDITIVE = (
    " Dotted: additive attention (CAS-ViT), whose height is the ratio of its MLP; where it changes "
    "the number of channels or the side, a 3x3 convolution comes first."
)
# Candidates whose names stand beside a map of theta and can still be read.
_MOST_ROWS = 16
_SHOWN = ("title", "file", "alt", "caption", "text")


def _draw(report: SearchReport) -> list[tuple[_Image, Figure]]:
    from pocketeye.searching.report import plots

    derived, where = report.derived, report.where
    best = derived.best.architecture
    considered = _considered(report)
    blocks = ", ".join(block.op for block in best.blocks)
    has_additive = any(isinstance(block.parsed, AdditiveOp) for block in best.blocks)
    theta = []
    if len(report.space.ops) <= _MOST_ROWS:
        theta.append(
            (
                _Image(
                    title="How the choice formed", file="theta.png", text="",
                    alt="Heat maps of block probabilities per layer over the epochs",
                    caption="Title of each map: the most probable block at the end.",
                ),
                plots.theta_evolution(report.theta_history, report.theta_epochs, report.space),
            )
        )  # fmt: skip
    return [
        (
            _Image(
                title="The network", file="architecture.png", text="",
                alt=f"Architecture strip: {blocks}",
                caption=_STRIP_CAPTION + (_STRIP_ADDITIVE if has_additive else ""),
            ),
            plots.architecture_strip(
                best, report.layer_ms, derived.best.predicted_ms, where, report.rest_ms
            ),
        ),
        (
            _Image(
                title="Accuracy and latency", file="accuracy_latency.png",
                text=derived.comparison.sentence() + ".",
                alt="Scatter of accuracy over latency for searched and random networks",
                caption="Hollow: predicted; filled: measured. Both kinds lie in the same predicted "
                "band and were ranked on the same images.",
            ),
            plots.accuracy_latency(derived, where),
        ),
        (
            _Image(
                title="Predicted and measured", file="predicted_measured.png", text="",
                alt="Scatter of measured over predicted latency with the line of equality",
                caption="Every network that was measured end to end in the runtime.",
            ),
            plots.predicted_measured(derived, where),
        ),
        *considered,
        (
            _Image(
                title="How the search went", file="curves.png", text="",
                alt="Curves over the epochs of the search",
                caption="Expected latency is that of the distribution, from the table (est.).",
            ),
            plots.search_curves(report.history, report.panels, derived.target_ms, where),
        ),
        *theta,
    ]  # fmt: skip


def _considered(report: SearchReport) -> list[tuple[_Image, Figure]]:
    """Return the figure of what a library had to offer, where there was one."""
    if report.library is None:
        return []
    from pocketeye.searching.report.library_plots import pareto

    view = report.library
    image = _Image(
        title="What was considered", file="pareto.png", text=f"{view.sentence()}.",
        alt="Sum of single swaps over predicted latency, with the best of every budget",
        caption="The line is the exact optimum of the sums (an integer program). Sums say nothing of "
        "swaps together: the best networks were fine-tuned and ranked whole.",
    )  # fmt: skip
    return [(image, pareto(view, report.derived.target_ms, report.where))]


def _facts(report: SearchReport) -> list[dict[str, str]]:
    derived, best = report.derived, report.derived.best
    facts = [
        ("budget", f"{derived.target_ms:g} ms"),
        ("predicted (est.)", f"{best.predicted_ms:.3g} ms"),
        (f"measured, {_signed(best.off_target(derived.target_ms))} of the budget",
         "–" if best.measured_ms is None else f"{best.measured_ms:.3g} ms"),
        ("prediction error", _signed(best.prediction_error)),
    ]  # fmt: skip
    if report.trained is not None:
        facts.append(_trained_fact(report.trained))
        chance = report.trained.chance
        if chance is not None:
            facts.append((f"chance level of {report.trained.metric}", f"{chance:.1%}"))
    return [{"name": name, "value": value} for name, value in facts]


def _trained_fact(trained: Trained) -> tuple[str, str]:
    """State the value, with its standard error where each image is either right or wrong."""
    value, count = trained.value, trained.num_images
    images = f"{count} validation images"
    # The error of a share by the binomial; a mean IoU has none that is so simple.
    if trained.metric == "top-1":
        images = f"± {math.sqrt(value * (1 - value) / max(count, 1)):.1%} (s.e., {images})"
    return f"{trained.metric} after training {trained.epochs} epochs, {images}", f"{value:.1%}"


def _row(candidate: Candidate, number: int, derived: Derived) -> dict[str, Any]:
    chosen, spread = candidate is derived.best, candidate.spread_ms
    keeps = candidate.keeps(derived.target_ms, derived.tolerance)
    verdict = {None: "not measured", True: "within budget", False: "over budget"}[keeps]
    return {
        "number": number,
        "best": chosen,
        "origin": candidate.origin,
        "predicted": _digits(candidate.predicted_ms),
        "measured": "–" if candidate.measured_ms is None else _digits(candidate.measured_ms),
        "spread": "–" if spread is None else f"{_digits(spread[0])}–{_digits(spread[1])}",
        "drift": _signed(candidate.drift),
        "off_target": _signed(candidate.off_target(derived.target_ms)),
        "prediction_error": _signed(candidate.prediction_error),
        "score": f"{candidate.supernet_score:.2%}",
        "loss": f"{candidate.supernet_loss:.3f}",
        "verdict": "chosen" if chosen else verdict,
    }


def _rounds(derived: Derived) -> str:
    """Tell how the candidates were found, in words."""
    sentences = []
    for number, r in enumerate(derived.rounds, 1):
        sentences.append(
            f"Round {number} aimed at {r.low_ms:.3g} to {r.high_ms:.3g} ms predicted: "
            f"{r.draws_in_band} of {r.draws} draws from the distribution and "
            f"{r.random_draws_in_band} of {r.random_draws} uniform draws lay there; measured / "
            f"predicted {r.measured_over_predicted:.3f}; {r.within} within the budget; "
            f"drift of the machine, taken out of the measurements, {r.drift:+.1%}."
        )
    mutated = sum(c.origin == "mutated" for c in derived.candidates)
    random = sum(c.origin == "mutated" for c in derived.random)
    # Readers should know where the sample is not one of theta alone.
    if mutated or random:
        sentences.append(
            f"{mutated} searched and {random} random networks were pulled into the band by changing "
            "single layers (origin: mutated), which favours networks near the draws."
        )
    return " ".join(sentences)


def _digits(ms: float | None) -> str:
    """Four significant digits, without an exponent: 0.06072, 8.412, 31.07."""
    # Digits before the point count too: 4 in all.
    return "–" if ms is None else f"{ms:.{max(0, 3 - math.floor(math.log10(ms)))}f}"


def _signed(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:+.1f} %"
