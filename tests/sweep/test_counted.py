"""What ``pocketeye list`` knows by heart is what counting gives."""

import pytest
import torch

from pocketeye import models
from pocketeye.cards.tracker import counted_parts
from pocketeye.models._cards import counted
from pocketeye.models.backbones.packaged import PACKAGED
from tests.models.counting import counts_of


def test_every_network_is_known() -> None:
    assert sorted(counted()["networks"]) == sorted({*models.list_models(), *PACKAGED})
    assert sorted(counted()["trackers"]) == models.list_tams()


@pytest.mark.parametrize("name", sorted(counted()["networks"]))
def test_networks(name: str) -> None:
    with torch.device("meta"):
        network = models.create_model(name)
    _, size, width = network.pretrained_cfg["input_size"]
    assert size == width
    counts = counts_of(name, size)
    expected = {"params": counts.params, "macs": counts.macs, "input_size": size}
    assert counted()["networks"][name] == expected


@pytest.mark.parametrize("name", sorted(counted()["trackers"]))
def test_trackers(name: str) -> None:
    with torch.device("meta"):
        network = models.create_tam(name)
    known = counted()["trackers"][name]
    assert known["parts"] == counted_parts(network)
    assert known["params"] == sum(known["parts"].values())
    assert tuple(known["image_size"]) == network.image_size
