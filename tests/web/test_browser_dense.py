"""In a real browser a detector's boxes and a segmenter's labels of a photograph are those of Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pocketeye.artifacts.dense import DenseManifest, load_dense_artifact
from pocketeye.data.clips.flower import flower_photo
from pocketeye.errors import InvalidValue
from pocketeye.exporting.web import write_site
from pocketeye.models.task import DETECT, INSTANCE, SEMANTIC, Task
from pocketeye.runtimes import ExportRequest, get_runtime
from pocketeye.web.serve import site_app
from tests.web.conftest import quiet_page

pytest.importorskip("starlette")

from pocketeye.serving.server import Served

_CANVAS, _CLASSES = (64, 96), ("leaf", "flower", "pot")
_DECODER: dict[str, Any] = {
    "num_classes": 3, "strides": [8, 16], "sizes": [[16.0, 24.0], [32.0, 48.0]],
    "aspect_ratios": [0.5, 1.0, 2.0], "score_thresh": 0.6, "nms_thresh": 0.5,
    "topk_candidates": 100, "detections_per_img": 20,
}  # fmt: skip
_LOOK = """async ([pixels, shape]) => {
    const {asking} = await import('./page.mjs'), ask = asking('try_worker.mjs');
    await ask('open', 1);
    const {objects, labels} = await ask('look', Uint8Array.from(pixels), shape, true);
    return {objects, labels: labels && Array.from(labels)};
}"""


class Maps(nn.Module):
    """Give the maps of two levels: of classes, then of boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 8, 2, 2)
        self.classes, self.boxes = nn.Conv2d(8, 18, 1), nn.Conv2d(8, 24, 1)
        with torch.no_grad():
            self.classes.weight.mul_(3)  # scores far apart: their order is that of both sides

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine = self.first(x)
        levels = (fine, self.second(fine.relu()))
        return (*(self.classes(y) for y in levels), *(self.boxes(y) for y in levels))


def artefact(task: Task, module: nn.Module, folder: Path) -> Path:
    request = ExportRequest(module.eval(), (torch.zeros(1, 3, *_CANVAS),), for_timing=True)
    get_runtime("onnxruntime").export(request, folder)
    DenseManifest(
        task=task, classes=_CLASSES, canvas=_CANVAS, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3),
        decoder={} if task is SEMANTIC else _DECODER,
    ).save(folder)  # fmt: skip
    return folder


def photograph() -> np.ndarray:
    image = Image.fromarray(np.asarray(flower_photo().image))
    return np.asarray(image.resize((150, 110)).convert("RGB"))


def looked(chromium: Any, site: Path, image: np.ndarray, photo: Path) -> tuple[Any, list[str]]:
    """Return what the page's worker answers, and the rows that a user sees."""
    Image.fromarray(image).save(photo)
    served = Served(site_app(site), port=0)
    try:
        with quiet_page(chromium) as page:
            page.goto(served.url)
            page.locator("#state", has_text="Ready").wait_for()
            page.set_input_files("#photo", photo)
            page.locator("#speed", has_text="ms the network").wait_for()
            rows = page.locator("#found tr td:first-child").all_inner_texts()
            found = page.evaluate(_LOOK, [image.reshape(-1).tolist(), list(image.shape[:2])])
            return found, rows
    finally:
        served.close()


def test_boxes_are_those_of_python(chromium: Any, tmp_path: Path) -> None:
    torch.manual_seed(3)
    folder, image = artefact(DETECT, Maps(), tmp_path / "model"), photograph()
    wanted = load_dense_artifact(folder)(image)
    assert isinstance(wanted, dict)
    assert len(wanted["boxes"]) > 3
    site = write_site(folder, tmp_path / "site").folder
    found, rows = looked(chromium, site, image, tmp_path / "photo.png")
    objects = found["objects"]
    assert [one["label"] for one in objects] == wanted["labels"].tolist()
    np.testing.assert_allclose([one["score"] for one in objects], wanted["scores"], atol=1e-4)
    np.testing.assert_allclose([one["box"] for one in objects], wanted["boxes"], atol=0.05)
    assert rows == [_CLASSES[label] for label in wanted["labels"]]


def test_labels_are_those_of_python(chromium: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 3, 1))
    folder, image = artefact(SEMANTIC, module, tmp_path / "model"), photograph()
    wanted = load_dense_artifact(folder)(image)
    assert isinstance(wanted, np.ndarray)
    assert len(np.unique(wanted)) > 1
    site = write_site(folder, tmp_path / "site").folder
    found, rows = looked(chromium, site, image, tmp_path / "photo.png")
    labels = np.asarray(found["labels"]).reshape(wanted.shape)
    # Where two classes are equal to six digits either may win.
    assert (labels == wanted).mean() > 0.999
    assert set(rows) <= set(_CLASSES)
    assert rows


def test_tasks_without_a_page_are_named(tmp_path: Path) -> None:
    folder = artefact(DETECT, Maps(), tmp_path / "model")
    described = folder / DenseManifest.FILE
    text = described.read_text().replace(f'"{DETECT.name}"', f'"{INSTANCE.name}"')
    described.write_text(text)
    with pytest.raises(InvalidValue, match=r"a detector.*is an instance segmenter"):
        write_site(folder, tmp_path / "site")
