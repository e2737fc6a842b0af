"""Detectors and segmenters ready for use: what a run's network says, in the size of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from pocketeye.data.semantic.class_maps import numbered
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.dense.described import DenseDescription, DenseTask
from pocketeye.models.dense.preprocess import best_class, normalised
from pocketeye.models.task import task_named
from pocketeye.predicting.dense import TorchDensePredictor, open_dense_predictor
from pocketeye.predicting.evaluation.semantic import evaluate_semantic
from pocketeye.results import Result
from pocketeye.training.dense.data import SemanticOrder
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.task import SemanticTask
from tests.data.mask_layouts import big_labels, photo, write_labels


def write_run(folder: Path, task: DenseTask, classes: tuple[str, ...] = ("a", "b")) -> Path:
    """An untrained network that finds much: its scores are not pushed down."""
    side = 32 if task == "instance" else 64  # masks are what costs time
    described = DenseDescription(
        task=task_named(task), backbone="mobilenetv3_small_050", classes=classes, min_size=side,
        max_size=side * 3 // 2,
        category_ids=() if task == "semantic" else (5, 7), fpn_channels=16, head_channels=16,
    )  # fmt: skip
    folder.mkdir()
    described.save(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = described.make()
        for name, parameter in network.named_parameters():
            if "cls_logits" in name or "classifier" in name:
                torch.nn.init.normal_(parameter, std=0.3)
    save_file(network.state_dict(), folder / "best.safetensors")
    return folder


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_a_detector(tmp_path: Path, task: DenseTask) -> None:
    predictor = open_dense_predictor(write_run(tmp_path / "run", task), device="cpu")
    assert isinstance(predictor, TorchDensePredictor)
    assert predictor.description.category_ids == (5, 7)
    if task == "instance":
        predictor.network.roi_heads.detections_per_img = 20  # type: ignore[union-attr, assignment]
    images = [np.asarray(photo(0)), np.asarray(photo(1, (50, 80)))]
    first, second = predictor.predict(images)
    for result, image in ((first, images[0]), (second, images[1])):
        assert isinstance(result, Result)
        assert result.size == image.shape[1::-1]
        assert result.image is image
        assert 0 < len(result) <= 100
        assert set(result.labels or ()) <= {"a", "b"}
        assert (np.diff(result.scores) <= 0).all()
        assert (result.masks is not None) == (task == "instance")
        assert result.boxes is not None
        assert (result.boxes[:, 2:] <= result.size).all()
    with torch.inference_mode():
        network = predictor.network
        direct = network([torch.from_numpy(p.copy()).permute(2, 0, 1) / 255 for p in images])
    assert np.array_equal(direct[0]["boxes"].numpy(), first.boxes)
    assert [("a", "b")[i] for i in direct[1]["labels"]] == list(second.labels)
    assert predictor.name == f"{predictor.description.network} (mobilenetv3_small_050)"


def test_a_segmenter(tmp_path: Path) -> None:
    predictor = open_dense_predictor(write_run(tmp_path / "run", "semantic"), device="cpu")
    image = np.asarray(photo(3, (120, 60)))
    (labels,) = predictor.predict([image])
    assert isinstance(labels, np.ndarray)
    assert labels.shape == (60, 120)
    assert len(np.unique(labels)) == 2
    # 120x60 is seen at 96x48, its logits brought back
    pixels = normalised(torch.from_numpy(image.copy()).permute(2, 0, 1), predictor.description)
    x = F.interpolate(pixels[None], (48, 96), mode="bilinear")
    assert isinstance(predictor, TorchDensePredictor)
    with torch.inference_mode():
        logits = predictor.network(x)
        expected = F.interpolate(logits, (60, 120), mode="bilinear")[0].argmax(0)
    assert np.array_equal(labels, expected.numpy())


def test_it_is_judged_as_in_training(tmp_path: Path) -> None:
    """What ``eval`` says of a run's weights is what its validation said."""
    maps = {name: (labels > 0).astype(int) for name, labels in big_labels(2).items()}
    samples = load_semantic(write_labels(tmp_path / "set", maps), classes=numbered(("a", "b")))
    predictor = open_dense_predictor(write_run(tmp_path / "run", "semantic"), device="cpu")
    assert isinstance(predictor, TorchDensePredictor)
    described = predictor.description
    task = SemanticTask(predictor.network, DenseRecipe(task="semantic"), 1, samples, described)
    task.on_validation_epoch_start()
    order = SemanticOrder(samples)
    with torch.inference_mode():
        for index in range(len(samples)):
            task.validation_step([order[index]], index)
    result = evaluate_semantic(predictor, samples)
    assert result.report.confusion.tolist() == task.metric.confusion.tolist()


def test_many_classes_are_compared_in_parts() -> None:
    logits = torch.randn(70, 9, 7, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits[None], (20, 15), mode="bilinear")[0].argmax(0)
    assert torch.equal(best_class(logits, (20, 15)), expected)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"no network at .*nowhere"):
        open_dense_predictor(tmp_path / "nowhere")
    run = write_run(tmp_path / "run", "detect")
    with pytest.raises(InvalidValue, match="fbnet_c is a registered network, which"):
        open_dense_predictor("fbnet_c")
    (run / "best.safetensors").unlink()
    with pytest.raises(MissingFile, match="has no weights yet"):
        open_dense_predictor(run)
