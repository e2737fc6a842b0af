"""Make the picture of the first page: a photograph named, one outlined, a clip followed.

    python benchmarks/front_page.py --results results/front-page-DEVICE

The networks are those that come along, or with the extra ``pretrained``. The costs below the panels
are measured while it runs, on one thread, as CPU time of this process, and written with the machine
into the record. Photographs: danielbuechele (temple) and vultilion (flower) on Flickr, CC BY 2.0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pocketeye.data.inputs import find_inputs
from pocketeye.latency.record import Device
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.predicting.predict import predict
from pocketeye.tracking import ImageSegmenter, load_tracker, open_model

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
CLASSIFIER, TRACKER = "tf_efficientnet_lite0", "pocketeye_tam_nano"
BOX = (170, 82, 446, 358)  # round the flower of flower.jpg
CLICK = (445, 53)  # on the flower in the first frame of flower.mp4
SHOWN = (0, 13, 26, 39)  # frames of the clip
_LEFT = 75  # pixels cut off at the left of a frame, for the 3:2 of the photographs
_FILL = 0.6  # of a mask: strong enough for a small picture
_BORDER = ((4, 4), (4, 4), (0, 0))  # white pixels round a frame
REPEATS = 9  # measurements of an image; the median counts


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What a panel shows, says and cost.

    Attributes:
        image: uint8 RGB.
        title: what was asked.
        answer: what came out.
        network: its name.
        weight_bytes: of all parameters and buffers as the network holds them.
        cpu_ms: per image or frame, reading and drawing excluded.
        per: ``image`` or ``frame``.
    """

    image: np.ndarray
    title: str
    answer: str
    network: str
    weight_bytes: int
    cpu_ms: float
    per: str

    @property
    def cost(self) -> str:
        return f"{self.cpu_ms:.0f} ms per {self.per}, {self.weight_bytes / 1e6:.0f} MB of weights"


def named_photo() -> Panel:
    """The temple and the two most likely classes."""
    path = EXAMPLES / "temple.jpg"
    predictor = open_predictor(CLASSIFIER, pretrained=True)
    images, _ = find_inputs([str(path)])
    (row,), _ = predict(predictor, images, topk=2)
    answer = ", ".join(
        f"{name.partition(',')[0]} {100 * share:.0f} %"
        for name, share in zip(row.classes, row.probabilities, strict=True)
    )
    return Panel(
        image=np.asarray(Image.open(path).convert("RGB")),
        title="What is this?",
        answer=answer,
        network=CLASSIFIER,
        weight_bytes=_bytes(predictor.module),
        cpu_ms=_median_ms(lambda: predict(predictor, images, topk=2)),
        per="image",
    )


def outlined_photo() -> Panel:
    """The flower inside a box."""
    segmenter = ImageSegmenter(open_model(TRACKER))
    image = np.asarray(Image.open(EXAMPLES / "flower.jpg").convert("RGB"))

    def once() -> np.ndarray:
        segmenter.set_image(image)
        return segmenter.predict(box=list(BOX)).overlay(fill=_FILL, text=False)

    return Panel(
        image=once(),
        title="Cut this out",
        answer="one box, one mask",
        network=TRACKER,
        weight_bytes=_bytes(segmenter.model),
        cpu_ms=_median_ms(once),
        per="image",
    )


def followed_clip() -> Panel:
    """Four frames of the clip with the flower found."""
    network = open_model(TRACKER)
    tracker = load_tracker(network)
    frames, times = {}, []
    with tracker.open(EXAMPLES / "flower.mp4") as session:
        session.add(1, frame=0, points=[list(CLICK)])
        start = time.process_time()
        for result in session.run():
            assert result.masks is not None
            assert len(result.masks) == 1
            times.append(1000 * (time.process_time() - start))
            if result.frame in SHOWN:
                frames[result.frame] = result.overlay(fill=_FILL, text=False)
            start = time.process_time()
    seen = [np.pad(frames[k][:, _LEFT:], _BORDER, constant_values=255) for k in SHOWN]
    return Panel(
        image=np.concatenate([np.concatenate(seen[:2], 1), np.concatenate(seen[2:], 1)], 0),
        title="Follow it",
        answer=f"one click, {len(times)} frames",
        network=TRACKER,
        weight_bytes=_bytes(network),
        cpu_ms=statistics.median(times),
        per="frame",
    )


def draw(panels: list[Panel], where: Device, out: Path) -> None:
    """The panels side by side, each with its question above and its answer and cost below."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(panel.image)
        axes.set_title(panel.title, fontsize=17, fontweight="bold")
        axes.set_xlabel(f"{panel.answer}\n{panel.cost}", fontsize=12.5, linespacing=1.5)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    figure.supxlabel(f"CPU time on one thread of an {where.cpu}", fontsize=9, color="0.4")
    figure.savefig(out, dpi=110)


def _bytes(model: torch.nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def _median_ms(call: Callable[[], object]) -> float:
    call()  # warm-up
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/assets/front-page.png")
    parser.add_argument("--results", type=Path, default=ROOT / "results/front-page-intel-xeon")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    panels = [named_photo(), outlined_photo(), followed_clip()]
    where = Device.here()
    draw(panels, where, arguments.out)
    record = {
        "device": asdict(where),
        "torch": torch.__version__,
        "threads": 1,
        "clock": "CPU time of the process, median",
        "date": date.today().isoformat(),
        "panels": [
            {key: value for key, value in asdict(panel).items() if key != "image"}
            for panel in panels
        ],
    }
    path = arguments.results.with_suffix(".json")
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {arguments.out} and {path}")


if __name__ == "__main__":
    main()
