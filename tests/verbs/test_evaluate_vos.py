"""`pocketeye eval --task vos` as a user calls it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pocketeye.cli import main
from pocketeye.verbs.evaluate.verb import evaluate
from pocketeye.verbs.evaluate.vos_result import VosEvaluateResult
from tests.data.video_layouts import davis, save_masks

CLIPS = {"a": dict.fromkeys(range(5), (1, 2)), "b": dict.fromkeys(range(4), (1,))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return davis(tmp_path / "set", CLIPS)


def test_baselines_in_one_table(root: Path, tmp_path: Path) -> None:
    result = evaluate("still", data=str(root), split="val", baselines=True,
                      out=tmp_path / "out")  # fmt: skip
    assert isinstance(result, VosEvaluateResult)
    # squares of 4x4 that go right by a pixel a frame: 12/20 after one, 8/24 after two, 4/28
    two, three = 12 / 20, 8 / 24
    data = result.to_dict()
    assert data["sequences"]["a"]["j"]["mean"] == pytest.approx((two + three + 4 / 28) / 3)
    assert data["sequences"]["b"]["j"]["mean"] == pytest.approx((two + three) / 2)
    assert [other["model"] for other in data["baselines"]] == ["flow"]
    assert [path.name for path in result.written()] == ["vos.json", "vos.csv", "worst.png"]
    with (tmp_path / "out" / "vos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["sequence"], row["object"]) for row in rows] == [
        (model, *rest)
        for model in ("still", "flow")
        for rest in (("a", "1"), ("a", "2"), ("b", "1"))
    ]
    lines = "\n".join(result.lines())
    assert "flow J&F" in lines
    assert "frames/s" in lines
    assert f"{100 * data['mean']['jf']:.1f}" in lines
    assert result.next_commands() == []


def test_masks_made_elsewhere(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, objects in CLIPS.items():
        save_masks(tmp_path / "mine" / name, objects)
    arguments = ["eval", "--data", str(root), "--results", str(tmp_path / "mine"),
                 "--out", str(tmp_path / "out")]  # fmt: skip
    assert main([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["model"], data["mean"]["jf"], data["frames_per_second"]) == ("mine", 1, None)
    (tmp_path / "mine/a/00002.png").unlink()
    (tmp_path / "out/vos.json").unlink()
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert "1 of its masks are wrong (of 5 that are needed): a/00002.png is missing" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"vos.csv", "worst.png"}


def test_data_problems_are_shown_and_kept(root: Path, tmp_path: Path) -> None:
    (root / "Annotations/480p/a/00002.png").write_bytes(b"")
    result = evaluate("still", data=str(root), out=tmp_path / "out")
    assert any("a: masks that cannot be used: 1 (00002.png: empty file)" in line
               for line in result.lines())  # fmt: skip
    kept = json.loads((tmp_path / "out" / "vos.json").read_text())["problems"]
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["still"], "a tracker is judged on videos with masks"),
        (["still", "--data", "SET", "--split", "vall"], "unknown split 'vall'. Did you mean 'val'"),
        (["stil", "--data", "SET"], "unknown model 'stil'. Did you mean 'still'"),
        (
            ["efficienttam_ti_512x512", "--data", "SET"],
            "no weights of efficienttam_ti_512x512 here",
        ),
        (["still", "--data", "SET", "--results", "SET"], "either a model (still) or the masks of"),
        (["--results", "SET", "--data", "SET", "--checkpoint", "x.pt"], "a model (x.pt) or the"),
        (["still", "--data", "SET", "--prompt", "click"], "still can be shown a mask only"),
        (["--results", "SET", "--data", "SET", "--protocol", "online"], "leave --prompt and"),
        (["still", "--data", "SET", "--pretrained"], "--pretrained means nothing to a tracker"),
        (["still", "--data", "SET", "--corrected-frames", "3"], "belongs to --protocol offline"),
        (["--data", "SET", "--protocol", "online", "--corrected-frames", "0"], "from 1"),
        (["pocketeye_tam_pico", "--data", "SET"], "no weights of pocketeye_tam_pico"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str], message: str, root: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path))
    given = [str(root) if argument == "SET" else argument for argument in arguments]
    assert main(["eval", *given, "--out", "out"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to judge"),
        (["fbnet_c", "--baselines"], "--baselines means nothing to a classifier"),
        (["casvit_xs.tiny_imagenet_24", "--split", "dev"], "dev"),
    ],
)
def test_options_of_vos_mean_nothing_to_classifiers(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *arguments]) == 2
    assert message in capsys.readouterr().err
