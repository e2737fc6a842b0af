"""Networks as data: round trips and refusals."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, strategies as st

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import Architecture, BlockSpec, PlacedBlock, load_space
from pocketeye.models.backbones.fbnet import architectures
from pocketeye.models.ops import AdditiveOp


@given(
    kernel=st.sampled_from([1, 3, 5, 7]),
    expansion=st.integers(1, 8),
    groups=st.sampled_from([1, 2, 4]),
    width=st.integers(1, 40),
    stride=st.integers(1, 3),
    size=st.integers(1, 300),
)
def test_block_round_trips(kernel, expansion, groups, width, stride, size):
    op = f"k{kernel}_e{expansion}" + (f"_g{groups}" if groups > 1 else "")
    spec = BlockSpec(op=op, in_chs=8 * width, out_chs=16 * width, stride=stride)
    assert BlockSpec.parse(str(spec)) == spec
    placed = PlacedBlock(spec=spec, size=size)
    assert PlacedBlock.parse(str(placed)) == placed


@given(
    ratio=st.integers(1, 8),
    chs=st.integers(1, 40),
    out=st.integers(1, 40),
    stride=st.integers(1, 3),
)
def test_additive_blocks_round_trip_whatever_their_shape(ratio, chs, out, stride):
    spec = BlockSpec(op=f"add_e{ratio}", in_chs=chs, out_chs=out, stride=stride)
    assert BlockSpec.parse(str(spec)) == spec
    assert spec.parsed == AdditiveOp(mlp_ratio=ratio)
    assert spec.keeps_shape is (stride == 1 and chs == out)


@pytest.mark.parametrize("name", sorted(architectures()))
def test_published_architectures_round_trip(name, tmp_path):
    architecture = architectures()[name]
    assert Architecture.parse(str(architecture)) == architecture
    assert Architecture.load(architecture.save(tmp_path / "a.json")) == architecture
    assert Architecture.from_json(architecture.to_json()) == architecture


@given(st.integers(0, 10**9))
def test_random_architectures_round_trip(seed):
    space = load_space("fbnet-small")
    architecture = space.sample(random.Random(seed))
    assert Architecture.parse(str(architecture)) == architecture
    assert space.architecture(space.choices(architecture), "random") == architecture


def test_placed_follows_the_strides():
    placed = architectures()["fbnet_c"].placed()
    assert [p.size for p in placed][:4] == [224, 112, 112, 56]
    assert placed[-1].size == 7
    # Odd sizes: padding kernel // 2 rounds up, as the modules do.
    assert BlockSpec(op="k3_e1", in_chs=8, out_chs=8, stride=2).out_size(7) == 4


def test_stages_begin_where_the_shape_changes():
    assert [len(s) for s in architectures()["fbnet_c"].stages()] == [1, 4, 4, 4, 4, 4, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("k3_e9x:8>8/1", "unknown block"),
        ("k4_e1:8>8/1", "kernel must be odd"),
        ("k3_e3_nopw:8>8/1", "expansion of 1"),
        ("add_e0:8>8/1", "MLP ratio must be at least 1"),
        ("add_e:8>8/1", "add_e4 .additive attention"),
        ("skip:8>16/1", "cannot change the shape"),
        ("skip:8>8/2", "cannot change the shape"),
        ("k3_e1_g3:8>8/1", "not divisible"),
        ("k3_e1:0>8/1", "at least 1"),
        ("k3_e1 8 8", "not of the form"),
    ],
)
def test_bad_blocks_say_what_is_wrong(text, says):
    with pytest.raises(InvalidValue, match=says):
        BlockSpec.parse(text)


def test_neighbours_must_agree():
    with pytest.raises(InvalidValue, match="expects 9 channels"):
        Architecture.parse("x@32=conv3:3>8/1|k3_e1:9>9/1|head16:9>10/1")
    with pytest.raises(InvalidValue, match="begin with conv"):
        Architecture.parse("x@32=k3_e1:8>8/1|head16:8>10/1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "not an architecture"),
        ('{"schema": "pocketeye.architecture/1", "name": "x"}', "the field 'input_size' is missing"),
        (
            json.dumps({"schema": "pocketeye.architecture/1", "name": 3, "input_size": 2, "layers": []}),
            "the field 'name' should be text, and is 3",
        ),
        (
            json.dumps({"schema": "pocketeye.architecture/1", "name": "x", "input_size": 32,
                        "layers": ["conv3:3>8/1"]}),
            "at least a stem",
        ),
    ],
)  # fmt: skip
def test_bad_json_says_what_is_wrong(text, says):
    with pytest.raises(InvalidValue, match=says):
        Architecture.from_json(text)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"nowhere\.json"):
        Architecture.load(tmp_path / "nowhere.json")
