"""Accuracy, intervals, calibration; runs, artefacts and names as predictors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.data import ImageSet, load_images
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.metrics import Tally, classification_report, wilson_interval
from pocketeye.metrics.classification import calibration_error, confidence_bins
from pocketeye.models import Architecture, create_model
from pocketeye.predicting.evaluation.classification import evaluate
from pocketeye.predicting.info import ModelInfo
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.runs import RunFolder
from pocketeye.runtimes import ExportRequest, get_runtime
from pocketeye.training.classify.fit import fit
from pocketeye.training.classify.recipe import ClassifyRecipe

Sets = tuple[ImageSet, ImageSet]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, digits: Sets) -> Path:
    """A trained run."""
    path = tmp_path_factory.mktemp("trained") / "run"
    file = path.parent / "architecture.json"
    Architecture.parse("net@16=conv3:1>16/2|k3_e3:16>24/2|head32:24>10/1").save(file)
    torch.manual_seed(0)
    config = ClassifyRecipe(epochs=4, batch_size=32, lr=0.2, flip=0.0, crop="none", device="cpu")
    fit(create_model(file), *digits, config, RunFolder.open(path, config.to_dict()))
    return path


def test_wilson_interval() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    for successes, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                    (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):  # fmt: skip
        assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_report() -> None:
    logits = np.array([[9, 0, 0], [0, 9, 0], [0, 9, 0], [9, 0, 0]], np.float32)
    report = classification_report(logits, np.array([0, 1, 0, 0]), ("a", "b", "c"))
    assert (report.n, report.top1, report.top5) == (4, 0.75, None)
    assert report.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    a, b, c = report.rows
    assert (a.recall, a.precision) == (pytest.approx(2 / 3), 1.0)
    assert (b.recall, b.precision) == (1.0, 0.5)
    assert (c.n, c.recall, c.precision) == (0, None, None)


def test_top5() -> None:
    logits = np.tile(np.arange(8.0), (8, 1))
    report = classification_report(logits, np.arange(8), [str(i) for i in range(8)])
    assert (report.top1, report.top5) == (1 / 8, 5 / 8)


def test_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 200_000)
    earned = confidence_bins(confidence, rng.uniform(size=200_000) < confidence)
    assert calibration_error(earned) < 0.01
    wrong = confidence_bins(np.full(10, 0.9), np.zeros(10, bool))
    assert calibration_error(wrong) == pytest.approx(0.9)
    assert calibration_error(confidence_bins(np.ones(10), np.ones(10, bool))) == 0.0
    rows = confidence_bins(np.array([0.05, 0.5, 0.55, 1.0]), np.array([0, 1, 0, 1], bool), bins=10)
    assert [row.n for row in rows] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert (rows[5].low, rows[5].high, rows[5].accuracy) == (0.5, 0.6, 0.5)
    assert rows[5].confidence == pytest.approx(0.525)
    assert rows[1].accuracy is None
    # 1/4 of 0.05, 2/4 of |0.5 - 0.525|, 1/4 of 0
    assert calibration_error(rows) == pytest.approx(0.025)


def test_batches_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(50, 8)).astype(np.float32), rng.integers(8, size=50)
    classes = [f"c{i}" for i in range(8)]
    whole = classification_report(logits, labels, classes)
    tally = Tally(classes)
    for start in range(0, 50, 7):
        tally.add(logits[start : start + 7], labels[start : start + 7])
    parts = tally.report()
    assert (parts.n, parts.top1, parts.top5) == (whole.n, whole.top1, whole.top5)
    assert parts.bins == whole.bins
    assert parts.confusion.tolist() == whole.confusion.tolist()
    pairs = whole.confused(1000)
    assert sum(pair.n for pair in pairs) == 50 - round(50 * whole.top1)
    assert [pair.n for pair in pairs] == sorted((pair.n for pair in pairs), reverse=True)
    first = pairs[0]
    assert whole.confusion[classes.index(first.true), classes.index(first.predicted)] == first.n


def test_evaluating_a_run_gives_the_accuracy_of_its_training(run: Path, digits: Sets) -> None:
    stored = json.loads((run / "result.json").read_text())
    result = evaluate(open_predictor(run, device="cpu"), digits[1])
    assert result.top1 == pytest.approx(stored["top1"], abs=1e-6)
    assert result.report.n == 101
    assert [row.n for row in result.report.rows] == digits[1].class_counts().tolist()
    files = result.save(run)
    assert all(file.stat().st_size > 0 for file in files)
    assert json.loads(files[0].read_text())["top1"] == result.top1


def test_an_artefact_evaluates_like_its_run(run: Path, digits: Sets, tmp_path: Path) -> None:
    runtime = get_runtime("onnxruntime")
    model = create_model(run).eval()
    runtime.export(ExportRequest(model, (torch.zeros(1, 1, 16, 16),)), tmp_path / "one")
    plain = evaluate(open_predictor(run, device="cpu"), digits[1])
    artifact = open_predictor(tmp_path / "one")
    artifact.adopt_names(digits[1].classes)
    exported = evaluate(artifact, digits[1])
    assert exported.report.confusion.tolist() == plain.report.confusion.tolist()
    with pytest.raises(InvalidValue, match="was exported for 16 pixels, not 32"):
        open_predictor(tmp_path / "one", input_size=32)


def test_labels_are_matched_by_name(run: Path, digits: Sets) -> None:
    val = digits[1]
    order = np.random.default_rng(0).permutation(10)
    renamed = replace(
        val,
        classes=tuple(val.classes[i] for i in order),
        labels=np.argsort(order)[val.labels],
    )
    predictor = open_predictor(run, device="cpu")
    assert evaluate(predictor, renamed).top1 == evaluate(predictor, val).top1
    foreign = replace(val, classes=(*val.classes[:9], "ten"))
    with pytest.raises(InvalidValue, match=r"1 classes the network was not trained on \(ten\)"):
        evaluate(predictor, foreign)
    with pytest.raises(InvalidValue, match="takes 1 channels"):
        evaluate(predictor, load_images("digits", "val", in_chans=3))


def test_opening_mistakes(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="has no trained weights"):
        open_predictor("fbnet_c")
    with pytest.raises(MissingFile, match=r"no network at .*: the folder has no model\.json"):
        open_predictor(tmp_path)
    ModelInfo.load(run).save(tmp_path)
    with pytest.raises(MissingFile, match="finish its training"):
        open_predictor(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InvalidValue, match="not a description of a network"):
        open_predictor(tmp_path)


def test_a_checkpoint_brings_the_description_beside_it(run: Path, digits: Sets) -> None:
    predictor = open_predictor(
        run / "architecture.json", checkpoint=run / "best.safetensors", device="cpu"
    )
    assert predictor.info.classes == digits[1].classes
    assert predictor.info.input_size == 16
