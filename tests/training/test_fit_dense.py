"""Runs of detectors and segmenters: their files, resuming, and that they learn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pocketeye.data.detection.samples import load_detection
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue, UserError
from pocketeye.models import Architecture
from pocketeye.models.dense.described import DenseDescription, open_dense
from pocketeye.models.task import DETECT, SEMANTIC, task_named
from pocketeye.runs import RunFolder
from pocketeye.training.dense.fit import fit_dense, validation_batch
from pocketeye.training.dense.optim import make_dense_optimizer
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.task import DenseTraining, DetectionTask, SemanticTask, pixel_loss
from pocketeye.training.engine.reporting.result import FitResult
from tests.training.dense_sets import write_coco_discs, write_semantic_discs

BACKBONE = (
    "tiny@64=conv3:3>16/2|k3_e3:16>16/2|k3_e3:16>24/2|k3_e3:24>32/2|k3_e3:32>48/2|head96:48>10/1"
)
SHORT: dict[str, Any] = {
    "epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "lr": 1e-3, "warmup_steps": 1, "device": "cpu",
    "norms": "live", "fpn_channels": 16, "head_channels": 16, "train_sizes": (72,), "input_size": 72,
    "max_size": 120, "crop": 64, "schedule": "cosine", "ema_decay": 0.9, "decay_norms": False,
    "scale": (0.9, 1.3),
}  # fmt: skip
TASKS = ["detect", "instance", "semantic"]
COUNTS = {
    "detect": {"train": 6, "val": 3},
    "instance": {"train": 2, "val": 1},
    "semantic": {"train": 6, "val": 3},
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("dense")
    return {
        "detect": write_coco_discs(root / "detect", COUNTS["detect"]),
        "instance": write_coco_discs(root / "instance", COUNTS["instance"]),
        "semantic": write_semantic_discs(root / "semantic", COUNTS["semantic"]),
    }


def opened(root: Path, task: str) -> Any:
    if task == "semantic":
        return tuple(load_semantic(root, split) for split in ("train", "val"))
    masks = task == "instance"
    return tuple(load_detection(root, split, masks=masks) for split in ("train", "val"))


def run_dense(
    folder: Path, root: Path, task: str, resume: bool = False, **changes: Any
) -> tuple[torch.nn.Module, FitResult]:
    config = DenseRecipe(task=task, **{**SHORT, **changes})  # type: ignore[arg-type]
    train, val = opened(root, task)
    described = DenseDescription(
        task=task_named(config.task), backbone="tiny", classes=train.classes, data=str(root),
        architecture=json.loads(Architecture.parse(BACKBONE).to_json()),
        min_size=config.input_size, max_size=config.max_size, fpn_channels=config.fpn_channels,
        head_channels=config.head_channels, norms=config.norms,
    )  # fmt: skip
    torch.manual_seed(0)
    model = described.make()
    if task == "instance":  # a hundred masks an image take most of a second
        model.roi_heads.detections_per_img = 10  # type: ignore[union-attr, assignment]
        model.roi_heads.fg_bg_sampler.batch_size_per_image = 64  # type: ignore[union-attr, assignment]
    run = RunFolder.open(folder, config.to_dict(), resume=resume)
    return model, fit_dense(model, train, val, config, run, resume, description=described)


@pytest.mark.parametrize("task", TASKS)
def test_a_run_explains_itself(tmp_path: Path, sets: dict[str, Path], task: str) -> None:
    changes = {"steps_per_epoch": 1, "batch_size": 1} if task == "instance" else {}
    model, result = run_dense(tmp_path / "run", sets[task], task, **changes)
    run = RunFolder(tmp_path / "run")
    assert 0 <= result.value <= 1
    rows = run.metrics()
    assert [row["epoch"] for row in rows] == [0, 1]
    first = "val/miou" if task == "semantic" else "val/ap"
    assert {"train/loss", "lr", "seconds", first} <= set(rows[0])
    assert ("val/box_ap" in rows[0]) == (task == "instance")
    assert result.value == max(row[first] for row in rows)
    best = load_file(run / "best.safetensors")
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    again, described = open_dense(run.path)
    assert described.task.name == task
    assert torch.equal(next(again.parameters()), next(model.parameters()))
    said = json.loads((run / "result.json").read_text())
    assert said["value"] == result.value
    assert {"train": said["num_train"], "val": said["num_val"]} == COUNTS[task]
    for name in ("validation.png", "curves.png"):
        with Image.open(run / name) as image:
            assert image.size[0] > 100
    html = (run / "report.html").read_text()
    assert f"{100 * result.value:.1f} %" in html
    assert html.count("data:image/png;base64,") == 2
    assert "validation loss" not in html
    assert (run / "recipe.yaml").is_file()
    assert (run / "last.ckpt").is_file()


@pytest.mark.parametrize("task", ["detect", "semantic"])
def test_resumed_equals_uninterrupted(
    tmp_path: Path, sets: dict[str, Path], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"brightness": 0.2}
    run_dense(tmp_path / "whole", sets[task], task, **changes)
    kind: type[DenseTraining] = SemanticTask if task == "semantic" else DetectionTask
    real = kind.training_step

    def interrupted(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "training_step", interrupted)
        with pytest.raises(UserError, match="epoch 1 of 2 is saved"):
            run_dense(tmp_path / "parts", sets[task], task, **changes)
    run_dense(tmp_path / "parts", sets[task], task, resume=True, **changes)
    whole, parts = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    rows = [_without_time(tmp_path / name / "metrics.csv") for name in ("whole", "parts")]
    assert rows[0] == rows[1]


def _without_time(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_segmenter_learns_its_colours(tmp_path: Path, sets: dict[str, Path]) -> None:
    changes = {"epochs": 2, "steps_per_epoch": 40, "batch_size": 4, "lr": 1e-2, "ema_decay": 0.0}
    _, result = run_dense(tmp_path / "run", sets["semantic"], "semantic", **changes)
    assert result.value > 0.5  # ground everywhere: 0.25


@pytest.mark.slow
def test_a_detector_learns_its_colours(tmp_path: Path, sets: dict[str, Path]) -> None:
    """RetinaNet; Mask R-CNN, minutes long, learns an image in ``tests/models/test_detection.py``."""
    changes = {"epochs": 3, "steps_per_epoch": 100, "batch_size": 4, "lr": 2e-3, "fpn_channels": 32,
               "train_sizes": (144,), "input_size": 144, "max_size": 240, "clip_grad": 5.0}  # fmt: skip
    _, result = run_dense(tmp_path / "run", sets["detect"], "detect", **changes)
    assert result.value > 0.4


def test_an_epoch_survives_damaged_images(tmp_path: Path) -> None:
    root = write_coco_discs(tmp_path / "coco", {"train": 5, "val": 3})
    (root / "train2017" / "001.png").write_bytes(b"no image")
    (root / "val2017" / "000.png").write_bytes(b"no image")
    _, result = run_dense(tmp_path / "run", root, "detect", epochs=1, steps_per_epoch=4)
    assert result.epochs == 1


def test_images_without_objects_are_learnt_from(tmp_path: Path) -> None:
    root = write_coco_discs(tmp_path / "coco", {"train": 2, "val": 2})
    for split in ("train", "val"):
        path = root / "annotations" / f"instances_{split}2017.json"
        data = json.loads(path.read_text())
        data["annotations"] = [row for row in data["annotations"] if row["image_id"] > 1]
        path.write_text(json.dumps(data))
    for task in ("detect", "instance"):  # both in a pass
        changes = {
            "epochs": 1,
            "steps_per_epoch": 2,
            "batch_size": 1,
            "input_size": 48,
            "train_sizes": (48,),
        }
        _, result = run_dense(tmp_path / task, root, task, **changes)
        assert result.epochs == 1


def test_sets_of_other_classes_are_refused(tmp_path: Path, sets: dict[str, Path]) -> None:
    train, _ = opened(sets["detect"], "detect")
    root = write_coco_discs(tmp_path / "coco", {"val": 2})
    path = root / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace('"blue"', '"green"'))
    val = load_detection(root, "val")
    described = DenseDescription(task=DETECT, backbone="fbnet_a", classes=train.classes)
    run = RunFolder.open(tmp_path / "run", {})
    with pytest.raises(InvalidValue, match="have other classes"):
        fit_dense(described.make(), train, val, DenseRecipe(**SHORT), run, description=described)


def test_the_optimiser_tells_the_backbone_from_the_rest() -> None:
    described = DenseDescription(task=SEMANTIC, backbone="fbnet_a", classes=("a", "b"))
    model = described.make()
    config = DenseRecipe(task="semantic", backbone_lr=1e-5, decay_norms=False, weight_decay=0.1)
    groups = make_dense_optimizer(model, config).param_groups
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {
        (2e-4, 0.1), (2e-4, 0.0), (1e-5, 0.1), (1e-5, 0.0),
    }  # fmt: skip
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    official = make_dense_optimizer(model, DenseRecipe(task="semantic")).param_groups
    assert {group["weight_decay"] for group in official} == {1e-4}


def test_ignored_pixels_count_for_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    assert pixel_loss(logits, labels).item() == 0
    labels[0, 0] = 1
    wanted = torch.nn.functional.cross_entropy(logits[:, :, 0], labels[:, 0].long())
    assert pixel_loss(logits, labels).item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("task", ["detect", "semantic"])
def test_the_memory_layout_changes_nothing_but_the_time(
    tmp_path: Path, sets: dict[str, Path], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, seen = [], []

    def on_train_end(self: DenseTraining) -> None:
        weight = next(p for p in self.model.parameters() if p.ndim == 4 and p.shape[1] > 1)
        seen.append(weight.is_contiguous(memory_format=torch.channels_last))

    monkeypatch.setattr(DenseTraining, "on_train_end", on_train_end, raising=False)
    for channels_last in (True, False):
        folder = tmp_path / f"{channels_last}"
        run_dense(folder, sets[task], task, channels_last=channels_last, epochs=1)
        found.append(RunFolder(folder).metrics()[0]["train/loss"])
    assert seen == [True, False]
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize(("processes", "count"), [(1, 1), (2, 3), (4, 10), (8, 8), (8, 9)])
def test_every_process_has_something_to_validate(processes: int, count: int) -> None:
    config = DenseRecipe(task="semantic", batch_size=4, num_processes=processes)
    size = validation_batch(config, count)
    assert 1 <= size <= 4
    assert all(rank * size < count for rank in range(processes))


def test_more_processes_than_images_are_refused() -> None:
    config = DenseRecipe(task="semantic", num_processes=3)
    with pytest.raises(InvalidValue, match="3 processes need an image each"):
        validation_batch(config, 2)
