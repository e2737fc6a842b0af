"""Write the page a demo ends with: every step, what it proved, and its image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pocketeye import pages
from pocketeye.data import ImageSet, load_images
from pocketeye.data.clips.flower import CREDIT
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.results.figures import make_figure, save_figure
from pocketeye.runs import write_atomic
from pocketeye.text import human_percent, human_seconds, plain_text

if TYPE_CHECKING:
    from pocketeye.verbs.demo.result import DemoResult

_ROWS, _COLUMNS = 4, 10


def write_demo_report(result: DemoResult) -> Path:
    """Write ``report.html`` and ``predictions.png`` into the demo's folder."""
    # Here, as the package imports this module while it is imported itself.
    from pocketeye import __version__

    search, told = result.searched, {name: _sentence(text) for name, text in result.told().items()}
    measured_ms = search.best.measured_ms
    assert measured_ms is not None
    predictions = _draw_predictions(result)
    images = {path.name: path for path in search.files if path.suffix == ".png"}
    check = next(path for path in result.checked.written() if path.suffix == ".png")
    steps = [
        _step(
            result, "measure", "The machine was measured",
            told["measure"],
        ),
        _step(
            result, "check", "The table was checked on networks it had not seen",
            told["check"],
            _figure(
                check, "Predicted against measured latency of fresh random networks",
                "Each point is a random network of the space; the closer to the diagonal, the better "
                "the table predicts whole networks.",
            ),
        ),
        _step(
            result, "search", f"A network of at most {search.target_ms:g} ms was searched and trained",
            told["search"],
            _figure(
                images["architecture.png"], "The network, layer by layer",
                "The network found: a box for each layer, and its share of the latency.",
            ),
        ),
        _step(
            result, "export", "The exported file computes the same",
            told["export"],
        ),
        _step(
            result, "eval", "The exported file tells blood cells apart that it never saw",
            told["eval"],
            _figure(
                predictions, "Blood cells with the answers of the exported network",
                "Photographs it never saw, with the exported network's answers; mistakes in red. "
                "Cut out of BCCD (MIT licence, shenggan).",
            ),
        ),
        _track_step(result),
    ]  # fmt: skip
    html = pages.render(
        "demo.html.j2",
        where=search.where,
        facts=[
            ("allowed per image", f"{search.target_ms:g} ms"),
            ("predicted (est.)", f"{search.best.predicted_ms:.3g} ms"),
            ("measured", f"{measured_ms:.3g} ms"),
            (
                f"named rightly by the exported file{result.beside()}",
                human_percent(result.evaluated.result.report.top1),
            ),
            ("the exported file computes the same", result.exported.parity.status),
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
            f"One click into the photograph: overlap {tracked.segment_iou:.2f} with the true mask.",
        ),
        _figure(
            tracked.track_mp4, "The clip with the flower marked",
            "One click into the first frame. The clip is made of photographs, so the true mask of every "
            f"frame is known ({CREDIT}).",
        ),
        _figure(
            tracked.track_png, "Frames of the clip, and the overlap in every frame",
            "Overlap (IoU): what mask and truth share, over what they cover together.",
        ),
    )  # fmt: skip


def _track_facts(result: DemoResult) -> list[tuple[str, str]]:
    return [("overlap of tracked and true masks", f"{result.tracked.mean_iou:.2f}")]


def _step(
    result: DemoResult, name: str, title: str, text: str, *figures: dict[str, str]
) -> dict[str, Any]:  # fmt: skip
    data, table = result.searched.data, result.measured.written()[0]
    commands = {
        "measure": f"pocketeye measure {data} --out mine.latency.json",
        "check": f"pocketeye measure --check {table}",
        "search": f"pocketeye search --table {table} --target-ms {result.searched.target_ms:g} "
        f"--data {data} --epochs {result.epochs[0]} --train-epochs {result.epochs[1]}",
        "export": f"pocketeye export {result.searched.out} --data {data}",
        "eval": f"pocketeye eval {result.exported.artifact.folder} --data {data}",
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
    """Embed an image, or a video by its suffix."""
    kind = "video/mp4" if path.suffix == ".mp4" else "image/png"
    return {"kind": kind, "data": pages.embedded(path), "alt": alt, "caption": caption}


def _sentence(lines: list[str]) -> str:
    text = "; ".join(plain_text([line]) for line in lines)
    return f"{text[0].upper()}{text[1:]}."


def _draw_predictions(result: DemoResult) -> Path:
    """Draw a grid of validation images with the exported network's answers."""
    images = load_images(result.evaluated.result.data, "val")
    answers = _answers(result, images)
    figure = make_figure(_COLUMNS * 0.95, _ROWS * 1.15)
    grid = figure.subplots(_ROWS, _COLUMNS)
    for axes, index in zip(grid.flat, range(len(answers)), strict=True):
        sample = images.read(index)
        image, label = sample.image, sample.targets
        right = answers[index] == label
        axes.imshow(np.asarray(image))
        axes.set_title(
            images.classes[answers[index]] + ("" if right else f"\nis: {images.classes[label]}"),
            fontsize=8, color="black" if right else "#c1272d",
        )  # fmt: skip
        axes.axis("off")
    return save_figure(figure, result.out / "predictions.png", 130)


def _answers(result: DemoResult, images: ImageSet) -> list[int]:
    predictor = open_predictor(str(result.exported.artifact.folder))
    transform = predictor.info.transform()
    # The first images of the validation split, whatever they are: nothing is picked.
    inputs = torch.stack([transform(images.read(i).image) for i in range(_ROWS * _COLUMNS)])
    return [int(row.argmax()) for row in predictor.logits(inputs)]
