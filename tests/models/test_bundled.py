"""Weights that come along: complete, described, and used where their names are given."""

from __future__ import annotations

import re
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pocketeye.errors import InvalidValue
from pocketeye.models.weights import bundled
from pocketeye.models.weights.bundled import bundled_card, bundled_run, bundled_runs
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.verbs.info import info
from pocketeye.verbs.list_models import list_models
from pocketeye.verbs.predict.verb import predict

CLASSIFIER = "casvit_xs.tiny_imagenet_24"
SEGMENTER = "semantic_fpn_casvit_xs.camvid11"


@pytest.mark.parametrize("name", bundled_runs())
def test_every_run_is_complete_and_small(name: str) -> None:
    folder = bundled_run(name)
    assert folder is not None
    card = bundled_card(folder)
    assert card is not None
    assert all(len(text) > 20 for text in asdict(card).values())
    weights = folder / "best.safetensors"
    assert weights.stat().st_size < 12e6
    floats = [v for v in load_file(weights).values() if v.is_floating_point()]
    assert {v.dtype for v in floats} == {torch.float16}
    assert all(torch.isfinite(v).all() for v in floats)
    for path in folder.iterdir():
        if path.suffix in (".json", ".yaml", ".csv"):  # no place on somebody's machine
            assert not re.search(r"(?m)[\s\"'](/|\.\./)\w", path.read_text()), path


def test_the_classifier_does_something_true() -> None:
    """A pagoda is none of its classes; buildings are what comes nearest."""
    photo = resources.files("sklearn.datasets.images") / "china.jpg"
    [row] = predict(CLASSIFIER, [str(photo)], device="cpu").predictions
    assert set(row.classes[:2]) == {"suspension bridge", "barn"}
    assert sum(row.probabilities[:2]) > 0.6


def test_the_classifier_is_as_good_as_its_card_says(datasets: Path) -> None:
    from pocketeye.verbs.evaluate.verb import evaluate

    data = datasets / "tiny-imagenet-24"
    if not data.is_dir():
        pytest.skip("tiny-imagenet-24 is not here")
    result = evaluate(CLASSIFIER, data=str(data), device="cpu")
    assert result.to_dict()["top1"] == pytest.approx(0.509, abs=0.005)


def test_the_segmenter_sees_a_street() -> None:
    """Sky above a pagoda, and a card like the others."""
    photo = resources.files("sklearn.datasets.images") / "china.jpg"
    predictor = open_dense_predictor(SEGMENTER, device="cpu")
    (labels,) = predictor.predict([np.asarray(Image.open(str(photo)).convert("RGB"))])
    sky = predictor.description.classes.index("sky")
    assert (np.asarray(labels)[:120] == sky).mean() > 0.5
    shown = info(SEGMENTER)
    assert shown.to_dict()["description"]["task"] == "semantic"
    lines = shown.lines()
    for label in ("params", "MACs", "classes", "result", "licence", "limits"):
        assert any(line.startswith(label) for line in lines), label
    assert shown.next_commands()[0] == f"pocketeye predict {SEGMENTER} IMAGE"


def test_the_list_and_the_card() -> None:
    listed = list_models("casvit_xs*")
    assert listed.bundled == (CLASSIFIER,)
    assert any(line.startswith(CLASSIFIER) for line in listed.lines())
    assert list_models("*.tiny_*").next_commands() == [f"pocketeye info {CLASSIFIER}"]
    lines = info(CLASSIFIER).lines()
    for label in ("data", "licence", "training", "scores", "limits"):
        assert any(line.startswith(label) for line in lines), label


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("casvit_xs.tiny_imagenet_25", CLASSIFIER),
        ("semantic_fpn_casvit_xs.camvid1", SEGMENTER),
        ("fbnetc_100.rmsp_in2k", "fbnetc_100.rmsp_in1k"),
    ],
)
def test_a_name_that_is_none_is_met_by_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InvalidValue, match=f"'{name}'.* mean '{near}'"):
        open_predictor(name, checkpoint=Path("x.pt"))


def test_a_network_without_weights_is_pointed_to_one_that_has_them() -> None:
    with pytest.raises(InvalidValue, match=f"take {CLASSIFIER}"):
        open_predictor("casvit_xs")


def test_a_package_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "_FOLDER", tmp_path)
    assert bundled_runs() == []
    assert bundled_card(tmp_path) is None
    assert list_models("casvit_xs").bundled == ()
