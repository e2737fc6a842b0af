"""Search spaces: the paper's, scaled ones, one's own."""

from __future__ import annotations

import math
import random

import pytest
import yaml

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import load_space
from pocketeye.models.space import SearchSpace, list_spaces


def test_the_paper_space_has_its_published_size():
    space = load_space("fbnet")
    assert space.num_layers == 22
    # Fact sheet 1.1 and 1.2: 12 places, 102 timed blocks and 6 free skips, stem and head.
    rows = space.placed()
    assert len({(p.spec.in_chs, p.spec.out_chs, p.spec.stride, p.size) for p in rows[1:-1]}) == 12
    assert sum(p.spec.op != "skip" for p in rows) == 12 * 8 + 2
    assert sum(p.spec.op == "skip" for p in rows) == 6
    assert space.num_architectures() == 9**16 * 8**6
    assert len(space.ops) == 9


def test_no_skip_where_the_shape_changes():
    for position in load_space("fbnet").positions:
        changes = position.stride > 1 or position.in_chs != position.out_chs
        assert ("skip" in position.candidates) is not changes


def test_width_and_resolution_are_one_option_away():
    small = load_space("fbnet").with_(input_size=96, width=0.35, num_classes=10)
    assert [s.chs for s in small.stages] == [8, 16, 16, 24, 40, 72, 128]
    assert small.stem_chs == 8
    assert small.head_chs == 1984
    assert small.head().out_chs == 10
    assert small.placed()[0].size == 96
    with pytest.raises(InvalidValue, match="already scaled"):
        small.with_(width=0.5)
    wide = load_space("fbnet").with_(width=1.5)
    assert wide.head_chs == 2976


@pytest.mark.parametrize("name", list_spaces())
def test_shipped_spaces_load_and_round_trip(name):
    space = load_space(name)
    assert SearchSpace.from_dict(yaml.safe_load(yaml.safe_dump(space.to_dict()))) == space
    architecture = space.sample(random.Random(0))
    assert len(architecture.blocks) == space.num_layers


def test_ones_own_space(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ninput_size: 32\nstem: {chs: 8, stride: 1}\nhead: {chs: 64}\nnum_classes: 3\n"
        "candidates: [k3_e2, k7_e4, skip]\n"
        "stages:\n- {chs: 8, depth: 2}\n- {chs: 16, depth: 2, stride: 2, candidates: [k3_e1]}\n"
    )
    space = load_space(path)
    assert [p.candidates for p in space.positions] == [
        ("k3_e2", "k7_e4", "skip"),
        ("k3_e2", "k7_e4", "skip"),
        ("k3_e1",),
        ("k3_e1",),
    ]
    assert space.ops == ("k3_e2", "k7_e4", "skip", "k3_e1")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stagse": []}, "Did you mean 'stages'"),
        ({"stages": [{"chs": 8, "depht": 1}]}, "Did you mean 'depth'"),
        ({"candidates": ["k3_e6", "k9x"]}, "unknown block"),
        (
            {"stages": [{"chs": 8, "depth": 0}]},
            "stages\\[0\\].depth. should be a whole number from 1",
        ),
        ({"stages": []}, "no stages"),
        ({"candidates": ["skip"]}, "no candidate fits layer 1 of stage 2"),
        ({"stages": 3}, "should be a list"),
        ({"name": False}, "'name' should be text"),  # YAML's no
        ({"width": float("nan")}, "'width' should be a finite number"),
        ({"width": 0.0}, "'width' should be a finite number from 0.01"),
        ({"input_size": 10**8}, "at most 65536"),
        ({"stages": [{"chs": 8, "depth": 600}, {"chs": 8, "depth": 600}]}, "more than 1000 layers"),
        ({"stages": [{"chs": 8, "depth": "two"}]}, r"'stages\[0\].depth' should be a whole"),
        ({"candidates": ["k999_e3"]}, "unknown block"),
        ({"stem": {"chs": -1}}, "'stem.chs' should be a whole number from 1"),
    ],
)
def test_bad_spaces_say_what_is_wrong(change, says):
    with pytest.raises(InvalidValue, match=says):
        SearchSpace.from_dict({**load_space("fbnet").to_dict(), **change})


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(InvalidValue, match="Did you mean 'fbnet'"):
        load_space("fbnett")
    with pytest.raises(MissingFile, match=r"none\.yaml"):
        load_space(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(InvalidValue, match="not YAML"):
        load_space(broken)


def test_choices_are_checked():
    space = load_space("digits")
    with pytest.raises(InvalidValue, match="layers, got 1"):
        space.architecture(["skip"])
    choices = [p.candidates[0] for p in space.positions]
    with pytest.raises(InvalidValue, match="at layer 1"):
        space.architecture(["k3_e5", *choices[1:]])


@pytest.mark.parametrize("width", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e9])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(InvalidValue, match=r"width must be from 0\.01 to 100"):
        load_space("fbnet-small").with_(width=width)


def test_a_yaml_that_unfolds_without_end_is_refused_at_once(tmp_path):
    path = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [" + ",".join(["x"] * 10) + "]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidValue, match=r"bomb\.yaml is not YAML: with its aliases"):
        load_space(path)
