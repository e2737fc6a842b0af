"""The page a demo ends with: every step, what it proved, and its image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pocketeye import pages
from pocketeye.data import ImageSet, load_images
from pocketeye.predicting.predictor import open_predictor
from pocketeye.results.figures import save_figure
from pocketeye.runs import write_atomic
from pocketeye.text import human_seconds
from pocketeye.verbs.demo.clip import CREDIT

if TYPE_CHECKING:
    from pocketeye.verbs.demo.result import DemoResult

_ROWS, _COLUMNS = 4, 14


def write_demo_report(result: DemoResult) -> Path:
    """Write ``report.html`` and ``predictions.png`` into the demo's folder."""
    from pocketeye import __version__

    search, export, evaluation = result.searched, result.exported, result.evaluated.result
    best = search.best
    assert best.measured_ms is not None
    predictions = _draw_predictions(result)
    images = {path.name: path for path in search.files if path.suffix == ".png"}
    check = next(path for path in result.checked.written() if path.suffix == ".png")
    held_out = result.checked.check
    assert held_out is not None
    steps = [
        _step(
            result, "measure", "The machine was measured",
            _sentence(result.measured.lines()[:3]),
        ),
        _step(
            result, "check", "The table was checked on networks it had not seen",
            _sentence(held_out.lines()),
            _figure(
                check, "Predicted against measured latency of fresh random networks",
                "Each point is a random network of the space; the closer to the diagonal, the better "
                "the table predicts whole networks.",
            ),
        ),
        _step(
            result, "search", f"A network for {search.target_ms:g} ms was searched and trained",
            f"Predicted {best.predicted_ms:.4g} ms, measured {best.measured_ms:.4g} ms. "
            + _plain(search.comparison.sentence()) + ".",
            _figure(
                images["architecture.png"], "The network, layer by layer",
                "The network found: a box a layer, its operator, width and share of the latency.",
            ),
        ),
        _step(
            result, "export", "The exported file computes the same",
            _plain(export.parity.lines()[0]),
        ),
        _step(
            result, "eval", "The exported file reads digits it never saw",
            f"Top-1 {evaluation.report.top1:.2%} on {evaluation.report.n} validation images.",
            _figure(
                predictions, "Digits with the answers of the exported network",
                "Validation images with the exported network's answers; mistakes in red.",
            ),
        ),
        _track_step(result),
    ]  # fmt: skip
    html = pages.render(
        "demo.html.j2",
        where=search.where,
        facts=[
            ("target", f"{search.target_ms:g} ms"),
            ("predicted (est.)", f"{best.predicted_ms:.3g} ms"),
            ("measured", f"{best.measured_ms:.3g} ms"),
            ("top-1 of the exported file", f"{evaluation.report.top1:.1%}"),
            ("parity of the exported file", export.status),
            *_track_facts(result),
            ("in all", human_seconds(sum(result.seconds.values()))),
        ],
        steps=steps,
        commands=result.next_commands(),
        version=__version__,
    )
    return write_atomic(result.report, html)


def _track_step(result: DemoResult) -> dict[str, Any]:
    tracked = result.tracked
    text = _sentence(tracked.lines())
    return _step(
        result, "track", "A flower was segmented and tracked by clicks", text,
        _figure(
            tracked.segment_png, "A flower with its mask, found by one click",
            f"One click into the photograph: IoU {tracked.segment_iou:.3f} with the true mask.",
        ),
        _figure(
            tracked.track_mp4, "The clip with the flower marked",
            "One click into the first frame, one where the flower is back. The clip is made of "
            f"photographs, so the true mask of every frame is known ({CREDIT}).",
        ),
        _figure(
            tracked.track_png, "Frames of the clip, and the IoU of every frame",
            "While the flower is hidden, 1 means that nothing was found.",
        ),
    )  # fmt: skip


def _track_facts(result: DemoResult) -> list[tuple[str, str]]:
    return [("J of the tracker's clip", f"{result.tracked.mean_iou:.3f}")]


def _step(
    result: DemoResult, name: str, title: str, text: str, *figures: dict[str, str]
) -> dict[str, Any]:  # fmt: skip
    commands = {
        "measure": f"pocketeye measure digits --out {result.measured.written()[0]}",
        "check": f"pocketeye measure --check {result.measured.written()[0]}",
        "search": f"pocketeye search --table {result.measured.written()[0]} "
        f"--target-ms {result.searched.target_ms:g} --data digits",
        "export": f"pocketeye export {result.searched.out} --data digits",
        "eval": f"pocketeye eval {result.exported.artifact.folder} --data digits",
        "track": result.tracked.commands[1],
    }
    return {
        "title": title,
        "text": text,
        "figures": figures,
        "seconds": human_seconds(result.seconds[name]),
        "command": commands[name],
    }


def _figure(path: Path, alt: str, caption: str) -> dict[str, str]:
    """An image, or a video by its suffix."""
    kind = "video/mp4" if path.suffix == ".mp4" else "image/png"
    return {"kind": kind, "data": pages.embedded(path), "alt": alt, "caption": caption}


def _sentence(lines: list[str]) -> str:
    text = "; ".join(_plain(line) for line in lines)
    return f"{text[0].upper()}{text[1:]}."


def _plain(markup: str) -> str:
    from rich.text import Text

    return Text.from_markup(markup).plain


def _draw_predictions(result: DemoResult) -> Path:
    """A grid of validation images with the exported network's answers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = load_images(result.evaluated.result.data, "val")
    answers = _answers(result, images)
    figure = Figure(figsize=(_COLUMNS * 0.72, _ROWS * 0.95), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(_ROWS, _COLUMNS)
    for axes, index in zip(grid.flat, range(len(answers)), strict=True):
        sample = images.read(index)
        image, label = sample.image, sample.targets
        right = answers[index] == label
        axes.imshow(np.asarray(image), cmap="gray_r")
        axes.set_title(
            images.classes[answers[index]] + ("" if right else f" (is {images.classes[label]})"),
            fontsize=9, color="black" if right else "#c1272d",
        )  # fmt: skip
        axes.axis("off")
    return save_figure(figure, result.out / "predictions.png", 130)


def _answers(result: DemoResult, images: ImageSet) -> list[int]:
    predictor = open_predictor(str(result.exported.artifact.folder))
    transform = predictor.info.transform()
    inputs = torch.stack([transform(images.read(i).image) for i in range(_ROWS * _COLUMNS)])
    return [int(row.argmax()) for row in predictor.logits(inputs)]
