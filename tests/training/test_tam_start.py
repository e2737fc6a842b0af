"""What a tracker's training begins with."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import create_model, create_tam
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.tracking import load_tracker
from pocketeye.training.tam.start import begin_with

NANO, PICO = "pocketeye_tam_nano", "pocketeye_tam_pico"


def save_run(folder, model):
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "best.safetensors")
    return folder


@pytest.mark.parametrize(("tracker", "backbone"), [(NANO, "casvit_xs"), (PICO, "fbnet_a")])
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
    with pytest.raises(MissingFile, match=r"model\.json is missing"):
        load_tracker(str(run), device="cpu")
    TrackerDescription(variant=PICO, image_size=(64, 64), trunk="casvit_xs").save(run)
    tracker = load_tracker(str(run), device="cpu")
    assert tracker.image_size == (64, 64)
    for name, value in tracker.model.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    (run / "model.json").write_text('{"schema": "pocketeye.model/1"}')
    with pytest.raises(InvalidValue, match="does not describe a tracker"):
        load_tracker(str(run), device="cpu")
