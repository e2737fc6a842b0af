"""Start weights: from a file, with a fresh head only when asked; depth and heads as the recipe says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pocketeye.data import ImageSet
from pocketeye.data.transforms.transforms import default_stats
from pocketeye.errors import InvalidValue
from pocketeye.models import create_model
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.predicting.info import input_stats
from pocketeye.training.classify.fit import describe
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.start import start_network

Sets = tuple[ImageSet, ImageSet]
CONFIG = ClassifyRecipe()


def saved(path: Path, name: str, **options: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(9)
    state = create_model(name, in_chans=1, **options).state_dict()  # type: ignore[arg-type]
    save_file(state, path)
    return state


def test_weights_of_the_same_classes(tmp_path: Path, digits: Sets) -> None:
    state = saved(tmp_path / "a.safetensors", "test_resnet", num_classes=10)
    module = start_network("test_resnet", digits[0], CONFIG, checkpoint=tmp_path / "a.safetensors")
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("name", "head"), [("test_resnet", "fc"), ("casvit_xs", "head"), ("fbnet_a", "classifier")]
)
def test_other_classes_only_when_asked(tmp_path: Path, digits: Sets, name: str, head: str) -> None:
    file = tmp_path / "a.safetensors"
    state = saved(file, name, num_classes=7)
    with pytest.raises(InvalidValue, match="is for 7 classes, the data have 10: give --new-head"):
        start_network(name, digits[0], CONFIG, checkpoint=file)
    module = start_network(name, digits[0], CONFIG, checkpoint=file, new_head=True)
    assert getattr(module, head).weight.shape[0] == 10
    others = {k: v for k, v in module.state_dict().items() if not k.startswith(head)}
    assert all(torch.equal(value, state[key]) for key, value in others.items())
    assert len(others) == len(state) - 2
    again = start_network(name, digits[0], CONFIG, checkpoint=file, new_head=True)
    assert torch.equal(getattr(again, head).weight, getattr(module, head).weight), "by the seed"


def test_a_student_of_two_heads_from_a_file_of_one(tmp_path: Path, digits: Sets) -> None:
    file = tmp_path / "a.safetensors"
    saved(file, "casvit_xs", num_classes=7)
    config = ClassifyRecipe(teacher="t", distill="soft", distill_head=True)
    module = start_network("casvit_xs", digits[0], config, checkpoint=file, new_head=True)
    assert isinstance(module.head_dist, nn.Linear)
    assert module.head.out_features == module.head_dist.out_features == 10


def test_stochastic_depth_and_second_head(digits: Sets) -> None:
    module = start_network("casvit_xs", digits[0], ClassifyRecipe(drop_path_rate=0.25))
    assert max(getattr(m, "drop_prob", 0.0) for m in module.modules()) == 0.25
    with pytest.raises(
        InvalidValue, match="vgg11 has no stochastic depth: set drop_path_rate to 0"
    ):
        start_network("vgg11", digits[0], ClassifyRecipe(drop_path_rate=0.1))
    config = ClassifyRecipe(teacher="t", distill="soft", distill_head=True)
    assert start_network("casvit_xs", digits[0], config).head_dist is not None
    with pytest.raises(InvalidValue, match="fbnet_a has no second head: leave out distill_head"):
        start_network("fbnet_a", digits[0], config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"new_head": True}, "give --checkpoint too"),
        ({"checkpoint": Path("a.pt"), "pretrained": True}, "--checkpoint or --pretrained"),
    ],
)
def test_contradictions(digits: Sets, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        start_network("fbnet_a", digits[0], CONFIG, **options)  # type: ignore[arg-type]


def test_images_are_normalised_as_the_network_expects() -> None:
    """EfficientNet-Lite's cfg says 0.5, FBNet's what is usual, as is taken for other channels."""
    half = create_model("tf_efficientnet_lite0")
    assert input_stats(half, 3) == ((0.5,) * 3, (0.5,) * 3)
    assert input_stats(half, 2) == default_stats(2)
    assert input_stats(create_model("fbnet_a"), 3) == default_stats(3) != input_stats(half, 3)
    assert input_stats(nn.Identity(), 3) == default_stats(3)


def test_training_begins_with_packaged_weights(digits: Sets) -> None:
    weights = PACKAGED["tf_efficientnet_lite0"]
    if weights.installed is None:
        pytest.skip("pocketeye[pretrained] is not installed")
    config = ClassifyRecipe(input_size=32)
    module = start_network(weights.name, digits[0], config, pretrained=True)
    state = weights.state_dict()
    assert torch.equal(
        module.state_dict()["blocks.3.1.conv_dw.weight"], state["blocks.3.1.conv_dw.weight"]
    )
    assert module.classifier.out_features == len(digits[0].classes)
    info = describe(module, digits[0], config, None)
    assert (info.mean, info.std) == ((0.5,), (0.5,))
