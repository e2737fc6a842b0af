import json

import pytest

import pocketeye
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.verbs.info import info


def test_blocks_add_up_to_the_network() -> None:
    result = info("fbnet_96_035_1")
    assert result.input_size == 96
    assert sum(block.macs for block in result.blocks) == result.macs
    assert sum(block.params for block in result.blocks) == result.params
    assert result.weights < result.params
    assert abs(result.macs / 12.944e6 - 1) < 0.005


def test_keys_the_issue_promises() -> None:
    data = json.loads(json.dumps(info("fbnet_96_035_1").to_dict()))
    assert {"macs", "params", "weights", "input_size", "blocks"} <= set(data)
    assert set(data["blocks"][0]) == {
        "op", "in_chs", "out_chs", "stride", "size", "macs", "params",
    }  # fmt: skip


def test_input_size_scales_macs_only() -> None:
    small, large = info("fbnet_96_035_1"), info("fbnet_96_035_1", input_size=192)
    assert large.params == small.params
    assert 3.0 < large.macs / small.macs < 4.0
    assert large.blocks[0].size == 192


def test_file_and_run_folder(tmp_path) -> None:
    architecture = pocketeye.create_model("fbnet_96_035_1").architecture
    path = architecture.with_(in_chans=1, num_classes=10, input_size=32).save(
        tmp_path / "architecture.json"
    )
    for model in (path, tmp_path):
        result = info(str(model))
        assert (result.in_chans, result.num_classes, result.input_size) == (1, 10, 32)
        assert result.name == tmp_path.name


def test_network_without_blocks() -> None:
    result = info("test_resnet")
    assert result.blocks == ()
    assert any("no block table" in line for line in result.lines())


def test_bad_input(tmp_path) -> None:
    with pytest.raises(InvalidValue, match="Did you mean 'fbnet_c'"):
        info("fbnet_cc")
    with pytest.raises(MissingFile):
        info(str(tmp_path))
    with pytest.raises(InvalidValue, match="at least 1 pixel"):
        info("fbnet_c", input_size=0)
