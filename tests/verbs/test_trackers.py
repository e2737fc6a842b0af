import json

import pytest

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.models import list_tams
from pocketeye.models.tam.checkpoints import PUBLISHED
from pocketeye.verbs.info import info
from pocketeye.verbs.list_models import list_models


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """The folder of published weights, empty."""
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path))
    return tmp_path


def test_the_list_has_a_table_of_trackers(weights) -> None:
    result = list_models("*tam_*")
    assert result.models == ()
    assert [row.name for row in result.trackers] == list_tams()
    bundled, ours, _, header, *lines = result.lines()
    assert "comes along" in bundled
    assert ours.startswith("pocketeye_tam_nano")
    assert header.split() == ["[bold]tracker", "params", "image", "weights", "here[/bold]"]
    cells = {line.split()[0]: line.split()[1:] for line in lines[: len(list_tams())]}
    assert cells["efficienttam_ti_512x512"] == [
        "17.9", "M", "512", "efficienttam_ti_512x512.pt", "no",
    ]  # fmt: skip
    assert cells["pocketeye_tam_pico"] == ["3.92", "M", "256", "none", "published"]
    assert " ".join(lines[len(list_tams()) :]).startswith("no weights here: they belong into")
    assert str(weights) in " ".join(lines)
    assert result.next_commands() == ["pocketeye info efficienttam_s"]


def test_networks_and_trackers_stand_apart(tmp_path) -> None:
    result = list_models("*_s", results=tmp_path)
    names = [row.name for row in result.models], [row.name for row in result.trackers]
    assert names == (["casvit_s"], ["efficienttam_s"])
    lines = result.lines()
    at = lines.index("")
    assert any(line.startswith("casvit_s") for line in lines[:at])
    assert lines[at + 1].startswith("[bold]tracker")
    assert list_models("casvit_s", results=tmp_path).trackers == ()


def test_weights_that_are_here_are_said_to_be(weights) -> None:
    (weights / "efficienttam_ti.pt").write_bytes(b"weights")
    rows = {row.name: row for row in list_models("efficienttam_ti*").trackers}
    assert {name for name, row in rows.items() if row.here} == {"efficienttam_ti"}
    lines = list_models("efficienttam_ti*").lines()
    assert lines[1].split()[-1] == "yes"
    assert not any("no weights here" in line for line in lines)
    result = info("efficienttam_ti")
    assert f"    is here: {weights / 'efficienttam_ti.pt'}" in result.lines()
    assert result.next_commands()[0].endswith("--model efficienttam_ti")


def test_weights_that_come_with_the_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pocketeye.models.tam.published._BUNDLED", tmp_path)
    (tmp_path / "pocketeye_tam_pico.safetensors").write_bytes(b"weights")
    lines = list_models("pocketeye_tam_pico").lines()
    assert lines[-1].split()[-4:] == ["come", "with", "pocketeye", "yes"]
    assert lines[1].startswith("pocketeye_tam_pico")
    result = info("pocketeye_tam_pico")
    assert any(line.split() == ["file", "come", "with", "pocketeye"] for line in result.lines())
    assert result.next_commands()[0].endswith("--model pocketeye_tam_pico")


def test_the_card_of_a_published_tracker(weights) -> None:
    result = info("efficienttam_ti")
    lines = result.lines()
    assert lines[0].startswith("[bold]efficienttam_ti[/bold]: tracker with a ViT-Ti")
    text = " ".join(" ".join(lines).split())
    assert "Efficient Track Anything, arXiv 2411.18933, 2024" in text
    assert "params 17.9 M (17,866,018) 6.16 M (6,163,840) image encoder" in text
    assert "5.92 M (5,922,304) memory attention" in text
    assert f"sha256 {PUBLISHED['efficienttam_ti'].sha256}" in text
    assert f"from {PUBLISHED['efficienttam_ti'].url}" in text
    assert f"no weights here: put it at {weights / 'efficienttam_ti.pt'}" in text
    rows = [line.split() for line in lines if line.startswith(("J&F", "ms"))]
    assert rows[0] == ["J&F", "SA-V", "test", "70.7", "1024", "a"]
    assert rows[1] == ["J&F", "DAVIS", "2017", "val", "89.1", "1024", "a"]
    assert rows[-1][-2:] == ["a", "1"], "a measured time has its note"
    assert "  a  EfficientTAM paper (arXiv 2411.18933v1), table 1" in lines


def test_parts_add_up_and_macs_follow_the_image() -> None:
    large, small = info("efficienttam_ti"), info("efficienttam_ti", input_size=512)
    assert sum(large.tracker.parts.values()) == large.tracker.params == 17_866_018
    assert small.tracker.image_size == (512, 512)
    assert small.tracker.params == large.tracker.params
    assert 4 < large.image_macs / small.image_macs < 8, "global attention grows faster"
    assert 3 < large.click_macs / small.click_macs < 4, "tokens of prompts do not grow"


def test_a_tracker_nobody_trained() -> None:
    result = info("pocketeye_tam_pico")
    text = " ".join(result.lines())
    assert "no published results" in text
    assert "Nobody has trained one yet" in text
    assert "sha256" not in text


def test_json(capsys) -> None:
    assert main(["info", "efficienttam_s_1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["params"] == 34_055_842
    assert data["file"]["name"] == "efficienttam_s_1.pt"
    assert data["here"] is False
    assert data["card"]["metrics"][0]["value"] == 74.0
    assert "equation 5" in data["card"]["metrics"][0]["notes"][0]
    assert data["image_macs"] > 100e9
    assert main(["list", "efficienttam_s", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["trackers"]
    assert row["image_size"] == [1024, 1024]


def test_misspelt() -> None:
    with pytest.raises(InvalidValue, match=r"unknown model 'efficienttam_tii'\. Did you mean"):
        info("efficienttam_tii")
    with pytest.raises(InvalidValue, match="Did you mean 'efficienttam_s'"):
        list_models("efficientam_s")
    with pytest.raises(InvalidValue, match="multiples of 16"):
        info("efficienttam_ti", input_size=500)
