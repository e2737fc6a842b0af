"""A tracker's run: its files, resuming, and that it learns."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pocketeye.errors import InvalidValue, UserError
from pocketeye.models import TAM, create_tam
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.runs import RunFolder
from pocketeye.training.engine.reporting.result import FitResult
from pocketeye.training.tam.fit import fit_tracker
from pocketeye.training.tam.recipe import TamRecipe, samples_per_epoch
from pocketeye.training.tam.task import TamTraining
from pocketeye.training.tam.track import TrackTask
from tests.training.tam_clips import SIZE, DiscClips, tiny_tam

SHORT = {
    "epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "num_frames": 3, "correction_clicks": 1,
    "loss_stride": 4, "device": "cpu", "val_clips": 2, "val_frames": 3, "ema_decay": 0.9, "lr": 1e-3,
}  # fmt: skip


def run_tracker(folder: Path, resume: bool = False, **changes) -> tuple[TAM, FitResult]:
    config = TamRecipe(**{**SHORT, **changes})
    model = tiny_tam()
    frames = config.num_frames if config.task == "track" else 1
    run = RunFolder.open(folder, config.to_dict(), resume=resume)
    result = fit_tracker(
        model,
        DiscClips(samples_per_epoch(config), frames),
        DiscClips(config.val_clips, min(frames, config.val_frames), seed=1),
        config,
        run,
        resume,
        description=TrackerDescription(variant="pocketeye_tam_pico", image_size=(SIZE, SIZE)),
    )
    return model, result


@pytest.mark.parametrize("task", ["track", "segment-anything"])
def test_a_run_explains_itself(tmp_path, task):
    changes = {"task": task, "num_frames": 3 if task == "track" else 1}
    model, result = run_tracker(tmp_path / "run", **changes)
    run = RunFolder(tmp_path / "run")
    assert 0 <= result.value <= 1
    rows = run.metrics()
    assert [row["epoch"] for row in rows] == [0, 1]
    parts = {"train/focal", "train/dice", "train/iou", "train/object"}
    assert parts | {"train/loss", "val/loss", "val/iou", "lr", "seconds"} <= set(rows[0])
    assert ("val/iou_corrected" in rows[0]) == (task == "segment-anything")
    assert result.value == max(row["val/iou"] for row in rows)
    best = load_file(run / "best.safetensors")
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    assert json.loads((run / "result.json").read_text())["iou"] == result.value
    assert TrackerDescription.load(run.path).variant == "pocketeye_tam_pico"
    for name in ("validation.png", "curves.png"):
        with Image.open(run / name) as image:
            assert image.size[0] > 100
    html = (run / "report.html").read_text()
    assert f"{100 * result.value:.1f} %" in html
    assert html.count("data:image/png;base64,") == 2
    assert '<code>steps_per_epoch</code></td><td class="left wrap">2</td>' in html
    assert (run / "recipe.yaml").is_file()
    assert (run / "last.ckpt").is_file()


def test_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    run_tracker(tmp_path / "whole", freeze_bn=False)
    real = TamTraining.training_step

    def interrupted(self, batch, batch_idx):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TamTraining, "training_step", interrupted)
        with pytest.raises(UserError, match="epoch 1 of 2 is saved"):
            run_tracker(tmp_path / "parts", freeze_bn=False)
    run_tracker(tmp_path / "parts", resume=True, freeze_bn=False)
    whole, parts = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    rows = [_without_time(tmp_path / name / "metrics.csv") for name in ("whole", "parts")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("moment", ["first step", "second epoch", "last.ckpt"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, moment):
    """A process that the system kills has no chance to put anything in order."""
    run_tracker(tmp_path / "whole")
    child = os.fork()
    if child == 0:
        _killed_at(moment)
        run_tracker(tmp_path / "killed")
        os._exit(0)  # not reached
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    run_tracker(tmp_path / "killed", resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    rows = [_without_time(tmp_path / name / "metrics.csv") for name in ("whole", "killed")]
    assert rows[0] == rows[1]
    files = [{path.name for path in (tmp_path / name).iterdir()} for name in ("whole", "killed")]
    assert files[0] == files[1]


def _killed_at(moment: str) -> None:
    """Have this process kill itself in a step of the training, or before a file gets its name."""
    real, rename = TamTraining.training_step, Path.replace

    def step(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) == {"first step": (0, 0), "second epoch": (1, 1)}.get(
            moment
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, batch, batch_idx)

    def replace(self, target):
        if Path(target).name == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    TamTraining.training_step, Path.replace = step, replace


def test_a_folder_that_somebody_removes_ends_the_training_in_a_sentence(tmp_path, monkeypatch):
    real = TamTraining.training_step

    def removing(self, batch, batch_idx):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return real(self, batch, batch_idx)

    monkeypatch.setattr(TamTraining, "training_step", removing)
    with pytest.raises(InvalidValue, match=r"cannot write .*: there is no folder .*run"):
        run_tracker(tmp_path / "run", epochs=1)


def _without_time(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"accumulate": 2, "clip_grad": 0.0, "ema_decay": 0.0},
        {"checkpointing": True, "loss_stride": 1, "layer_decay": 0.8, "schedule": "inverse_sqrt"},
    ],
)
def test_other_ways_to_train(tmp_path, changes):
    _, result = run_tracker(tmp_path, epochs=1, **changes)
    assert result.epochs == 1


def test_a_frozen_encoder_stays_as_it_is(tmp_path):
    before = tiny_tam().state_dict()
    run_tracker(tmp_path, epochs=1, encoder_lr=0.0)
    after = load_file(tmp_path / "last.safetensors")
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert not [name for name in changed if name.startswith("image_encoder.")]


def test_early_layers_are_frozen_up_to_a_stride():
    model = create_tam("pocketeye_tam_pico", 64)
    # Before they are frozen: early layers are told by the gradients that they have.
    early = {id(p) for p in model.image_encoder.trunk.parameters_up_to(4)}
    TrackTask(model, TamRecipe(frozen_stride=4))
    assert early
    assert {id(p) for p in model.parameters() if not p.requires_grad} == early
    with pytest.raises(InvalidValue, match="frozen_stride 4 freezes layers of a timm backbone"):
        TrackTask(tiny_tam(), TamRecipe(frozen_stride=4))


def test_frozen_bn_keeps_its_statistics(tmp_path):
    before = tiny_tam().state_dict()
    run_tracker(tmp_path, epochs=1, freeze_bn=True)
    after = load_file(tmp_path / "last.safetensors")
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not [name for name in changed if "running_" in name]
    assert any(name.startswith("image_encoder.trunk.stages.0.1.") for name in changed)


@pytest.mark.slow
def test_two_processes_share_a_batch(tmp_path):
    _, result = run_tracker(tmp_path, num_processes=2, batch_size=1)
    rows = RunFolder(tmp_path).metrics()
    assert len(rows) == result.epochs == 2


@pytest.mark.slow
def test_it_learns_to_follow_a_disc(tmp_path):
    _, result = run_tracker(
        tmp_path, epochs=4, steps_per_epoch=60, batch_size=4, lr=3e-3, num_frames=4, val_clips=8,
        val_frames=4, clip_grad=1.0, ema_decay=0.0, correction_prob=0.3, weight_decay=0.01,
    )  # fmt: skip
    assert result.value > 0.6
