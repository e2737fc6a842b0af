"""Networks of one input size say so, whatever is asked of them."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models.input_size import fixed_size, require_any_shape, require_size


@pytest.fixture(scope="module")
def transformer() -> nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=48, depth=1, embed_dim=24, num_heads=2
    )


def test_a_transformer_takes_its_own_size_only(transformer: nn.Module) -> None:
    transformer.train()
    assert fixed_size(transformer) == 48
    require_size(transformer, 48, "vit")
    for size, said in ((96, "not of 96"), ((48, 64), "not of 64x48")):
        with pytest.raises(InvalidValue, match=f"vit takes images of 48 pixels only, {said}"):
            require_size(transformer, size, "vit")
    with pytest.raises(InvalidValue, match="choose another backbone"):
        require_any_shape(transformer, "vit")
    assert all(module.training for module in transformer.modules())


def test_a_convolutional_network_takes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1)).eval()
    require_size(network, 33, "net")
    require_any_shape(network, "net")
    with pytest.raises(InvalidValue, match="net takes images of 224 pixels, not of 1:"):
        require_size(network, 1, "net")  # smaller than the kernel
    assert not network.training
    meta = nn.Conv2d(3, 4, 3, device=torch.device("meta"))
    require_size(meta, 33, "net")  # nothing can be tried
