"""What a tracker's training begins with."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.layers import normalise
from pocketeye.models import create_model, create_tam
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.tracking import load_tracker
from pocketeye.training.tam import start
from pocketeye.training.tam.start import begin_with, in_imagenet_colours, measure_maps
from tests.training.tam_clips import DiscClips

NANO, PICO = "pocketeye_tam_nano", "pocketeye_tam_pico"


def save_run(folder, model):
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "best.safetensors")
    return folder


@pytest.mark.parametrize(
    ("tracker", "backbone"), [(NANO, "tf_efficientnet_lite0"), (PICO, "fbnet_a")]
)
def test_a_classifiers_backbone_goes_into_the_image_encoder(tmp_path, tracker, backbone):
    torch.manual_seed(5)
    classifier = create_model(backbone, num_classes=7).eval()
    run = save_run(tmp_path / "run", classifier)
    model = create_tam(tracker, 64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    said = begin_with(model, start_from=run)
    assert "entries taken as the backbone of the image encoder" in said
    image = torch.randn(1, 3, 64, 64)
    features = timm.create_model(backbone, features_only=True).eval()
    features.load_state_dict(model.image_encoder.trunk.backbone.state_dict())
    with torch.no_grad():
        theirs = list(classifier.forward_intermediates(image, intermediates_only=True))
        ours = features(image)
    shapes = {tuple(f.shape): f for f in theirs}
    matched = [torch.equal(f, shapes[tuple(f.shape)]) for f in ours if tuple(f.shape) in shapes]
    assert matched
    assert all(matched)
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert all(name.startswith("image_encoder.trunk.backbone.") for name in changed)


def test_a_whole_tracker_and_a_relative(tmp_path):
    theirs = create_tam(PICO, 64)
    run = save_run(tmp_path / "run", theirs)
    model = create_tam(PICO, 96)
    assert begin_with(model, checkpoint=run) == f"all weights are those of {run}"
    for name, value in model.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    other = create_tam(PICO, 64)
    said = begin_with(other, start_from=run / "best.safetensors")
    assert f"{len(theirs.state_dict())} entries taken" in said


def test_nothing_fits_is_refused(tmp_path):
    model = create_tam(PICO, 64)
    run = save_run(tmp_path / "run", torch.nn.Linear(3, 3))
    with pytest.raises(InvalidValue, match=r"nothing in .+ fits"):
        begin_with(model, start_from=run)
    with pytest.raises(InvalidValue, match="not both"):
        begin_with(model, start_from=run, checkpoint=run)
    with pytest.raises(MissingFile, match=r"best\.safetensors is missing"):
        begin_with(model, checkpoint=tmp_path)
    assert begin_with(model) == ""


def test_a_run_folder_is_a_tracker(tmp_path):
    theirs = create_tam(PICO, 64, trunk="casvit_xs")
    run = save_run(tmp_path / "run", theirs)
    with pytest.raises(MissingFile, match=r"no network at .*model\.json"):
        load_tracker(str(run), device="cpu")
    TrackerDescription(variant=PICO, image_size=(64, 64), trunk="casvit_xs").save(run)
    tracker = load_tracker(str(run), device="cpu")
    assert tracker.facts.image_size == (64, 64)
    for name, value in tracker.engine.model.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    (run / "model.json").write_text('{"schema": "pocketeye.model/1"}')
    with pytest.raises(InvalidValue, match="run of a classifier"):
        load_tracker(str(run), device="cpu")


def test_the_norms_of_a_trunk_are_measured_on_training_frames():
    torch.manual_seed(0)
    model = create_tam(PICO, 64).train()
    clips = DiscClips(6, num_frames=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_maps(model, clips)
    assert model.training
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert {name.rpartition(".")[0] for name in changed} == {
        f"image_encoder.trunk.norms.{stride}" for stride in (4, 8, 16, 32)
    }
    trunk = model.eval().image_encoder.trunk
    frames = torch.cat([normalise(clips[n].frames[:1].float() / 255) for n in range(6)])
    with torch.no_grad():
        normed = trunk.norms["16"](trunk.backbone(frames)[trunk.places[16]])
    torch.testing.assert_close(
        normed.mean((0, 2, 3)), torch.zeros(normed.shape[1]), atol=1e-3, rtol=0
    )
    assert normed.std((0, 2, 3)).median().item() == pytest.approx(1.0, abs=0.1)
    for norm in trunk.norms.values():
        assert norm.momentum == 0.1


@torch.no_grad()
def test_a_classifier_of_other_colours_sees_the_same_in_ours():
    torch.manual_seed(0)
    model = create_model("tf_efficientnet_lite0").eval()
    assert model.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
    model.bn1.running_mean.normal_()
    image = torch.rand(1, 3, 64, 64)
    before = model.bn1(model.conv_stem((image - 0.5) / 0.5))
    model.load_state_dict(in_imagenet_colours(model))
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    after = model.bn1(model.conv_stem((image - mean) / std))
    torch.testing.assert_close(
        after[..., 1:-1, 1:-1], before[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-4
    )


def test_a_published_classifier_is_named(monkeypatch):
    torch.manual_seed(0)
    published = create_model("tf_efficientnet_lite0")
    asked = []
    monkeypatch.setattr(
        start,
        "create_model",
        lambda name, pretrained: asked.append((name, pretrained)) or published,
    )
    model = create_tam(NANO, 64)
    said = begin_with(model, start_from=Path("tf_efficientnet_lite0"))
    assert asked == [("tf_efficientnet_lite0", True)]
    assert "entries taken as the backbone" in said
    trunk = model.image_encoder.trunk.backbone
    assert torch.equal(trunk.blocks[3][0].conv_pw.weight, published.blocks[3][0].conv_pw.weight)
