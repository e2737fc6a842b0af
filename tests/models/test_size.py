"""Sizes of images that are no squares, as values, as text, and through spaces and architectures."""

from __future__ import annotations

from typing import Any

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.models import build_block, create_model
from pocketeye.models._create import build_network
from pocketeye.models.architecture import Architecture, PlacedBlock
from pocketeye.models.size import (
    Size,
    make_size,
    parse_size,
    reduced,
    sides,
    size_text,
    size_value,
)
from pocketeye.models.space import SearchSpace, load_space


@pytest.mark.parametrize(("size", "text"), [(224, "224"), ((360, 480), "480x360")])
def test_text_is_width_by_height_and_comes_back(size: Size, text: str) -> None:
    assert size_text(size) == text
    assert parse_size(text) == parse_size(size_value(size)) == size
    assert make_size(*sides(size)) == size


@pytest.mark.parametrize(
    "bad", ["", "0", "480x", "x360", "480x0", "-3", "480×360", None, True, [360, 480]]
)
def test_what_is_no_size_is_one_sentence(bad: Any) -> None:
    with pytest.raises(InvalidValue, match="480x360; got"):
        parse_size(bad)


def test_strides_round_up_on_both_sides() -> None:
    assert reduced((45, 60), 2) == (23, 30)
    assert reduced((9, 10), 2) == 5  # a square again
    assert reduced(15, 2) == 8


def test_blocks_networks_and_spaces_round_trip() -> None:
    space = load_space("fbnet-small").with_(input_size=(360, 480))
    assert SearchSpace.from_dict(space.to_dict()) == space
    network = space.architecture([p.candidates[0] for p in space.positions], "first")
    assert str(network).startswith("first@480x360=")
    assert Architecture.parse(str(network)) == network == Architecture.from_json(network.to_json())
    for placed in space.placed():
        assert PlacedBlock.parse(str(placed)) == placed
    assert network.placed()[-1].size == (12, 15)


def test_maps_are_as_large_as_said() -> None:
    import torch

    space = load_space("fbnet-small").with_(input_size=(90, 130))
    network = space.architecture([p.candidates[-2] for p in space.positions], "one")
    x = torch.zeros(1, *network.placed()[0].input_shape)
    for placed in network.placed()[:-1]:
        assert tuple(x.shape[1:]) == placed.input_shape
        x = build_block(placed.spec).eval()(x)
    assert tuple(x.shape[1:]) == network.placed()[-1].input_shape


def test_equal_sides_are_one_number_everywhere() -> None:
    space = load_space("fbnet-small").with_(input_size=(64, 64))
    assert space == load_space("fbnet-small")
    network = space.architecture([p.candidates[0] for p in space.positions])
    assert network.with_(input_size=(96, 96)).side == 96
    assert PlacedBlock(spec=space.stem(), size=(32, 32)) == PlacedBlock(spec=space.stem(), size=32)
    assert parse_size((360, 480)) == (360, 480)


@pytest.mark.parametrize("text", ["k3_e1:8>8/1@ 32", "k3_e1:8>8/1@032", "k3_e1:8>8/1@32x32"])
def test_a_block_has_one_spelling(text: str) -> None:
    with pytest.raises(InvalidValue, match="@size"):
        PlacedBlock.parse(text)


def test_a_square_is_written_as_before() -> None:
    space = load_space("fbnet-small")
    assert space.to_dict()["input_size"] == 64
    assert str(space.placed()[0]) == "conv3:3>8/2@64"


def test_a_classifier_asks_for_a_square() -> None:
    space = load_space("fbnet-small").with_(input_size=(360, 480))
    network = space.architecture([p.candidates[0] for p in space.positions], "wide")
    with pytest.raises(InvalidValue, match=r"480x360.* squares.*--input-size"):
        _ = network.side
    assert network.with_(input_size=64).side == 64
    made = build_network(network)
    assert made.default_cfg["input_size"] == (3, 360, 480)
    assert create_model("fbnet_c").default_cfg["input_size"] == (3, 224, 224)


@pytest.mark.parametrize(
    "text", ["name@=conv3:3>8/2|head8:8>2/1", "name@4x=conv3:3>8/2|head8:8>2/1"]
)
def test_an_architecture_with_a_bad_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="name@size="):
        Architecture.parse(text)


@pytest.mark.parametrize("large", ["65537", "9" * 5000, "480x99999999"])
def test_a_size_beyond_all_memory_is_refused(large: str) -> None:
    with pytest.raises(InvalidValue, match="480x360"):
        parse_size(large)
