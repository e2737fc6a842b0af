"""The report: what stands in the HTML, the CSV and the images."""

from __future__ import annotations

import base64
import csv
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pocketeye.latency.record import Timing
from pocketeye.models.space import SearchSpace, load_space
from pocketeye.searching.deriving.baseline import compare, uniform_logits
from pocketeye.searching.deriving.derived import Candidate, Derived, Round
from pocketeye.searching.deriving.sampling import log_softmax
from pocketeye.searching.outcome import Cost, Trained
from pocketeye.searching.report import plots
from pocketeye.searching.report.report import (
    SearchReport,
    candidates_csv,
    cost_sentence,
    write_report,
)

WHERE = "Fake CPU 3000 · onnxruntime 9.9 · 1 thread · fp32"
PANELS = (
    ("latency", (("latency_ms", "expected"),)),
    ("entropy per layer, nats", (("entropy", "entropy"),)),
    ("temperature", (("temperature", "tau"),)),
    ("accuracy", (("nothing", "never logged"),)),
)


def fake_candidates(space: SearchSpace, kind: str, mean: float, seed: int) -> tuple[Candidate, ...]:
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    top1 = np.sort(np.clip(rng.normal(mean, 0.012, 12), 0, 1))[::-1]
    result = []
    for number in range(12):
        predicted = float(rng.uniform(7.6, 8.0))
        measured = predicted * float(rng.normal(1.01, 0.015)) if number < 4 else None
        if number == 0 and kind == "searched":
            measured = 8.7  # the best ranked one missed the target
        result.append(
            Candidate(
                architecture=space.sample(draw, f"{kind}-{number + 1}"),
                origin="mutated" if number == 5 else "random" if kind == "random" else "sampled",
                predicted_ms=predicted,
                supernet_score=float(top1[number]),
                supernet_loss=0.5,
                measured_ms=measured,
                timing=None
                if measured is None
                else Timing(n=48, inner=1, p10_ms=0.99 * measured, p50_ms=measured,
                            p90_ms=1.04 * measured, undisturbed_ms=measured),
            )
        )  # fmt: skip
    return tuple(result)


def fake_report(space: SearchSpace, epochs: int = 12) -> SearchReport:
    searched = fake_candidates(space, "searched", 0.71, 0)
    rest = fake_candidates(space, "random", 0.68, 1)
    draws = np.random.default_rng(2)
    rights = [[draws.random(400) < c.supernet_score for c in group] for group in (searched, rest)]
    derived = Derived(
        target_ms=8.0,
        tolerance=0.05,
        best_index=1,
        candidates=searched,
        random=rest,
        rounds=(
            Round(low_ms=7.6, high_ms=8.0, draws=90, draws_in_band=14, random_draws=310,
                  random_draws_in_band=12, measured_over_predicted=1.012, within=3),
        ),
        comparison=compare(*rights),
    )  # fmt: skip
    end = uniform_logits(space) + np.random.default_rng(3).normal(
        0, 2.2, uniform_logits(space).shape
    )
    steps = np.linspace(0, 1, epochs) ** 1.3
    legal = np.isfinite(end)
    theta = np.array(
        [np.exp(log_softmax(np.where(legal, np.where(legal, end, 0) * s, -np.inf))) for s in steps]
    )
    return SearchReport(
        title="A network for <this> device",
        space=space,
        derived=derived,
        layer_ms=np.random.default_rng(4).gamma(3, 0.12, space.num_layers + 2).tolist(),
        where=WHERE,
        clock="thread CPU time",
        history=[
            {"epoch": e, "latency_ms": 14 - 6 * s, "entropy": 2.1 - s} | ({"temperature": 5 * 0.9**e})
            for e, s in enumerate(steps)
        ],
        panels=PANELS,
        theta_history=theta,
        theta_epochs=range(epochs),
        trained=Trained(value=0.803, num_images=1000, epochs=30),
        costs=[Cost(name="search", seconds=120.0, cpu_seconds=230.0),
               Cost(name="training", seconds=60.0, cpu_seconds=110.0)],
        commands=["pocketeye export runs/a & b", "pocketeye bench runs/a"],
        notes=["the table was measured on another day"],
        tables={"Settings": {"epochs": epochs, "seed": 0}, "Environment": {"python": "3.11"}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchReport, Path]:
    folder = tmp_path_factory.mktemp("report")
    report = fake_report(load_space("digits"), epochs=4)
    assert write_report(report, folder)[0] == folder / "report.html"
    return report, folder


class Checker(HTMLParser):
    """Collects tags and texts; every opened tag has to be closed."""

    VOID = ("meta", "img", "br", "link", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v for k, v in attrs if k in ("href", "src") and v]
        self.rows += tag == "tr"
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_needs_nothing_from_outside(written: tuple[SearchReport, Path]) -> None:
    text = (written[1] / "report.html").read_text(encoding="utf-8")
    page = Checker()
    page.feed(text)
    assert text.lstrip().startswith("<!doctype html>")
    assert page.open == []
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert all(image["alt"] for image in page.images)


def test_html_shows_numbers_network_and_comparison(written: tuple[SearchReport, Path]) -> None:
    report, folder = written
    text = (folder / "report.html").read_text(encoding="utf-8")
    best = report.derived.best
    assert "A network for &lt;this&gt; device" in text
    assert "pocketeye export runs/a &amp; b" in text
    assert WHERE in text
    assert best.measured_ms is not None
    assert f">{best.predicted_ms:.3f}<" in text
    assert f"{best.measured_ms:.3f}" in text
    assert "80.3%" in text
    assert report.derived.comparison.sentence() in text
    assert "over budget" in text
    assert "dropped" not in text
    assert "1 searched and 1 random networks were pulled into the band" in text
    assert "2.00 times as long as training" in text
    page = Checker()
    page.feed(text)
    assert page.rows >= 24  # both kinds of candidates


def test_the_strip_explains_additive_blocks_where_there_are_any(
    written: tuple[SearchReport, Path], tmp_path: Path
) -> None:
    report = fake_report(load_space("fbnet+casvit-cifar"), epochs=3)
    assert "add_e" in str(report.derived.best.architecture)
    text = write_report(report, tmp_path)[0].read_text(encoding="utf-8")
    assert "Dotted: additive attention" in text
    plain = (written[1] / "report.html").read_text(encoding="utf-8")
    assert "Dotted" not in plain


def test_images_are_beside_and_inside(written: tuple[SearchReport, Path]) -> None:
    folder = written[1]
    page = Checker()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    inside = {base64.b64decode(str(image["src"]).partition("base64,")[2]) for image in page.images}
    beside = {path.read_bytes() for path in folder.glob("*.png")}
    assert len(beside) == 5
    assert inside == beside
    assert all(png.startswith(b"\x89PNG") for png in beside)


def test_csv_has_every_network(written: tuple[SearchReport, Path]) -> None:
    derived = written[0].derived
    rows = list(csv.DictReader(candidates_csv(derived).splitlines()))
    assert len(rows) == 24
    chosen = [row for row in rows if row["chosen"] == "1"]
    assert [row["architecture"] for row in chosen] == [str(derived.best.architecture)]
    assert rows[-1]["measured_ms"] == ""
    assert (written[1] / "candidates.csv").read_text() == candidates_csv(derived)


def labels(figure: plots.Figure) -> list[str]:
    texts = [t for axes in figure.axes for t in (axes.get_xlabel(), axes.get_ylabel())]
    return [text.replace("\n", " · ") for text in texts]


def test_every_latency_axis_names_the_device() -> None:
    report = fake_report(load_space("digits"), epochs=3)
    best = report.derived.best.architecture
    drawn = [
        plots.accuracy_latency(report.derived, WHERE),
        plots.predicted_measured(report.derived, WHERE),
        plots.search_curves(report.history, PANELS, 8.0, WHERE),
        plots.architecture_strip(best, report.layer_ms, 7.9, WHERE),
    ]
    for figure, count in zip(drawn, (1, 2, 1, 1), strict=True):
        named = [label for label in labels(figure) if WHERE in label]
        assert len(named) == count
        assert all("ms" in label for label in named)


def test_strip_height_is_the_expansion_and_hatch_the_groups() -> None:
    space = load_space("digits")
    ops = [
        "k3_e1",
        "skip",
        "k5_e6",
        "k3_e1_g2",
        "skip",
        "k3_e3",
        "k5_e1_g2",
        "skip",
        "k3_e6",
        "skip",
    ]
    figure = plots.architecture_strip(space.architecture(ops), [0.1] * 12, 1.3, WHERE)
    boxes = figure.axes[0].patches
    assert [box.get_height() for box in boxes[1:-1]] == [1, 0.35, 6, 1, 0.35, 3, 1, 0.35, 6, 0.35]
    hatched = [bool(box.get_hatch()) for box in boxes[1:-1]]
    assert hatched == ["_g2" in op for op in ops]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [t for t in texts if t in ops] == ops


def test_curves_leave_out_what_was_not_logged() -> None:
    report = fake_report(load_space("digits"), epochs=3)
    figure = plots.search_curves(report.history, PANELS, 8.0, WHERE)
    assert len(figure.axes) == 3
    line = figure.axes[2].lines[0]
    assert line.get_ydata().tolist() == pytest.approx([5.0, 4.5, 4.05])


def test_equal_reports_are_equal_files(tmp_path: Path) -> None:
    report = fake_report(load_space("digits"), epochs=3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        plots.save(plots.predicted_measured(report.derived, WHERE), tmp_path / name / "image.png")
    first, second = (tmp_path / name / "image.png" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_cost_sentence_needs_both_steps() -> None:
    search = Cost(name="search", seconds=30.0, cpu_seconds=60.0)
    assert cost_sentence([search]) == ""
    assert "0.50 times" in cost_sentence([search, replace(search, name="training", seconds=60.0)])
