"""Weights that come along are taken by their name wherever weights or a trained network are."""

from pathlib import Path

import pytest
import torch

import pocketeye
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.tam.described import weights_in
from pocketeye.models.weights.bundled import bundled_run, bundled_runs, weights_at
from pocketeye.models.weights.load import read_state_dict

NETWORK, SEGMENTER = "casvit_xs.tiny_imagenet_24", "semantic_fpn_casvit_xs.camvid11"
TRACKER = "pocketeye_tam_nano"


def test_names_stand_for_files() -> None:
    assert {NETWORK, SEGMENTER} <= set(bundled_runs())
    for name in bundled_runs():
        folder = bundled_run(name)
        assert folder is not None
        assert weights_at(name) == weights_at(folder) == folder / "best.safetensors"
    assert weights_at(TRACKER).name == f"{TRACKER}.safetensors"
    assert weights_in(Path(TRACKER)) == weights_at(TRACKER)
    with pytest.raises(MissingFile, match="no checkpoint at nothing"):
        read_state_dict(weights_at("nothing"))


def test_a_network_by_its_name_with_another_head_or_other_channels() -> None:
    whole = pocketeye.create_model(NETWORK)
    assert whole.num_classes == 24
    other = pocketeye.create_model(NETWORK, num_classes=5, in_chans=1)
    assert other.head.weight.shape[0] == 5
    ours, theirs = whole.state_dict(), other.state_dict()
    same = [k for k in ours if ours[k].shape == theirs[k].shape and not k.startswith("head")]
    assert len(same) > len(ours) - 5
    assert all(torch.equal(ours[key], theirs[key]) for key in same)
    stem = next(key for key, value in ours.items() if value.ndim == 4)
    assert torch.allclose(theirs[stem], ours[stem].sum(1, keepdim=True))
    maps = pocketeye.create_model(NETWORK, features_only=True)
    assert torch.equal(maps.model.state_dict()[stem], ours[stem])


def test_the_same_weights_through_load_checkpoint() -> None:
    loaded = pocketeye.load_checkpoint(pocketeye.create_model("casvit_xs", num_classes=24), NETWORK)
    ours = pocketeye.create_model(NETWORK).state_dict()
    assert all(torch.equal(value, ours[key]) for key, value in loaded.state_dict().items())
    with pytest.raises(InvalidValue, match="of another shape"):
        pocketeye.load_checkpoint(pocketeye.create_model("casvit_xs"), NETWORK)
