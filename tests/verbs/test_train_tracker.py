"""`pocketeye train segment-anything|track` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.models import create_tam
from pocketeye.tracking import load_tracker
from pocketeye.verbs.train import train_segment_anything, train_tracker
from tests.training.tam_sets import write_davis

RECIPE = """
task: {task}
epochs: 1
steps_per_epoch: 1
batch_size: 2
num_frames: {frames}
max_objects: 1
correction_clicks: 1
loss_stride: 4
val_clips: 2
val_frames: {frames}
"""


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("davis")
    return write_davis(root, {"train": ["a", "b"], "dev": ["c"]})


def recipe(folder: Path, task: str) -> str:
    path = folder / f"{task}.yaml"
    path.write_text(RECIPE.format(task=task, frames=2 if task == "track" else 1))
    return str(path)


def test_images_then_clips(davis, tmp_path):
    options = {"data": str(davis), "input_size": 64, "device": "cpu"}
    first = train_segment_anything(
        "pocketeye_tam_pico", out=tmp_path / "first",
        recipe=recipe(tmp_path, "segment-anything"), **options,
    )  # fmt: skip
    assert first.next_commands()[1].endswith(f"--checkpoint {first.out}")
    second = train_tracker(
        "pocketeye_tam_pico", out=tmp_path / "second", checkpoint=first.out,
        recipe=recipe(tmp_path, "track"), synthetic_share=0.0, **options,
    )  # fmt: skip
    data = second.to_dict()
    json.dumps(data, default=str)
    assert (data["task"], data["input_size"]) == ("track", 64)
    assert data["started"] == f"all weights are those of {first.out}"
    assert all(path.is_file() for path in second.written())
    assert any("IoU" in line and "first frame's mask" in line for line in second.lines())
    assert load_tracker(str(second.out), device="cpu").facts.image_size == (64, 64)
    with pytest.raises(InvalidValue, match="already holds a run"):
        train_tracker("pocketeye_tam_pico", out=second.out,
              recipe=recipe(tmp_path, "track"), **options)  # fmt: skip


def test_a_teacher_is_part_of_the_run(davis, tmp_path):
    options = {"data": str(davis), "input_size": 64, "device": "cpu",
               "recipe": recipe(tmp_path, "track"), "out": tmp_path / "run"}  # fmt: skip
    weights = tmp_path / "teacher.safetensors"
    save_file(create_tam("pocketeye_tam_nano", 64).state_dict(), weights)
    taught = {"teacher": "pocketeye_tam_nano", "teacher_checkpoint": weights}
    result = train_tracker("pocketeye_tam_pico", **options, **taught)
    assert "train/feature" in (result.out / "metrics.csv").read_text().splitlines()[0]
    saved = load_file(result.out / "best.safetensors")
    assert set(saved) == set(create_tam("pocketeye_tam_pico", 64).state_dict())
    with pytest.raises(
        InvalidValue, match=r"another teacher \('pocketeye_tam_nano', now not set\)"
    ):
        train_tracker("pocketeye_tam_pico", resume=True, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["track"], "--data needs a value"),
        (["track", "--data", "x", "--teacher", "fbnet_c"], "fbnet_c is a registered network"),
        (["track", "--data", "x", "--teacher-checkpoint", "y.pt"], "without a teacher"),
        (["track", "--data", "x", "--distill", "soft"], "unknown option '--distill'"),
        (["segment-anything", "--synthetic-share", "0.1", "--data", "x"], "unknown option"),
        (["track", "--data", "nowhere"], "no data at nowhere"),
        (
            ["track", "--data", "x", "--recipe", "digits"],
            "is a recipe of pocketeye train classify",
        ),
        (["track", "fbnet_d", "--data", "x"], "unknown tracker 'fbnet_d'"),
        (["track", "--data", "x", "--checkpoint", "y.pt"], "no checkpoint at y.pt"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
