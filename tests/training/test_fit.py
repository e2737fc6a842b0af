"""Training: what it writes, continuing, interruptions, mistakes, several processes."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from safetensors.torch import load_file
from torch import nn
from torch.multiprocessing import ProcessRaisedException

from pocketeye import progress
from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue, UserError
from pocketeye.models import Architecture, create_model
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import RunFolder
from pocketeye.training.classify.distill import Teacher
from pocketeye.training.classify.fit import describe, fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.task import ClassificationTask
from pocketeye.training.engine.loop import fit_resumable, make_trainer
from pocketeye.training.engine.reporting.result import FitResult

from .conftest import TinyNet, tiny_net

Sets = tuple[ImageSet, ImageSet]
CONFIG = ClassifyRecipe(
    epochs=4, batch_size=64, lr=0.3, input_size=8, crop="pad", pad=1, flip=0.5, random_erasing=0.2,
    ema_decay=0.9, mixup=0.2, drop_rate=0.1, device="cpu",
)  # fmt: skip


def run_fit(path: Path, digits: Sets, config: ClassifyRecipe = CONFIG, **options: Any) -> FitResult:
    resume = bool(options.pop("resume", False))
    run = RunFolder.open(path, config.to_dict(), resume=resume)
    return fit(tiny_net(), *digits, config, run, resume, **options)


def stop_at(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int, error: BaseException) -> None:
    """Raise ``error`` once, in the middle of an epoch."""
    original = ClassificationTask.training_step

    def training_step(self: ClassificationTask, batch: Any, batch_idx: int) -> torch.Tensor:
        if (self.current_epoch, batch_idx) == (epoch, step):
            monkeypatch.setattr(ClassificationTask, "training_step", original)
            raise error
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ClassificationTask, "training_step", training_step)


def metrics(path: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in RunFolder(path).metrics()]


def test_a_run_explains_itself(tmp_path: Path, digits: Sets) -> None:
    result = run_fit(tmp_path / "run", digits, name="tiny")
    rows = RunFolder(tmp_path / "run").metrics()
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert set(rows[0]) == {
        "epoch", "lr", "train/loss", "val/loss", "val/top1", "val/commonest_class",
        "val/commonest_answer", "seconds",
    }  # fmt: skip
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert result.value == max(row["val/top1"] for row in rows)
    assert result.value == rows[result.best_epoch - 1]["val/top1"]
    for name in ("best.safetensors", "last.safetensors", "last.ckpt", "curves.png", "samples.png",
                 "config.yaml", "recipe.yaml", "environment.json", "report.html"):  # fmt: skip
        assert (tmp_path / "run" / name).stat().st_size > 0, name
    assert not list((tmp_path / "run").glob(".*")), "no half-written file is left"
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (stored["top1"], stored["weights"]) == (result.value, "best.safetensors")
    info = ModelInfo.load(tmp_path / "run")
    assert (info.name, info.input_size, info.classes) == ("tiny", 8, tuple("0123456789"))


def test_it_learns(tmp_path: Path, digits: Sets) -> None:
    config = ClassifyRecipe(epochs=12, batch_size=32, lr=0.3, input_size=8, crop="none", flip=0,
                         device="cpu")  # fmt: skip
    assert run_fit(tmp_path / "run", digits, config).value > 0.6


EVERYTHING = ClassifyRecipe(
    epochs=4, batch_size=64, accumulate=3, multi_scale=((32, 32), (48, 16)), lr=2e-3, min_lr=1e-5,
    optimizer="adamw", input_size=32, crop="rrc", flip=0.0, auto_augment="rand-m9-mstd0.5",
    random_erasing=0.2, ema_decay=0.9, mixup=0.2, cutmix=1.0, mixup_prob=0.8, drop_rate=0.1,
    drop_path_rate=0.2, clip_grad=1.0, teacher="given", distill="soft", distill_tau=2.0, device="cpu",
)  # fmt: skip


def fit_everything(
    path: Path, digits: Sets, resume: bool = False, config: ClassifyRecipe = EVERYTHING
) -> FitResult:
    """A small CAS-ViT of two heads with a teacher."""
    torch.manual_seed(0)
    shape = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32), "num_classes": 10, "in_chans": 1}
    student = create_model("casvit_xs", distilled=True, drop_path_rate=0.2, **shape)
    info = describe(student, digits[0], config, "small")
    run = RunFolder.open(path, config.to_dict(), resume=resume)
    return fit(student, *digits, config, run, resume, teacher=Teacher(tiny_net(5), info))


@pytest.mark.parametrize("train", [run_fit, fit_everything])
def test_interrupted_and_continued_equals_uninterrupted(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch, train: Callable[..., FitResult]
) -> None:
    usual = CONFIG if train is run_fit else EVERYTHING
    config = replace(usual, epochs=3, batch_size=32)
    digits = digits[0].subset(np.arange(128)), digits[1].subset(np.arange(40))
    whole = train(tmp_path / "whole", digits, config=config)
    stop_at(monkeypatch, 2, 1, KeyboardInterrupt())
    with pytest.raises(UserError, match=r"epoch 2 of 3 is saved .* --resume"):
        train(tmp_path / "parts", digits, config=config)
    torch.rand(7)  # the second process has another past
    parts = train(tmp_path / "parts", digits, resume=True, config=config)
    assert (parts.value, parts.best_epoch) == (whole.value, whole.best_epoch)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    for name in ("best.safetensors", "last.safetensors"):
        one, other = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_same_seed_same_result_other_seed_other_result(tmp_path: Path, digits: Sets) -> None:
    config = replace(CONFIG, epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run_fit(tmp_path / name, digits, replace(config, seed=seed))
    a, b, c = (load_file(tmp_path / name / "last.safetensors") for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_resume_before_the_first_checkpoint_and_after_the_end(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, epochs=1)
    stop_at(monkeypatch, 0, 1, KeyboardInterrupt())
    with pytest.raises(UserError, match="nothing is saved yet"):
        run_fit(tmp_path / "run", digits, config)
    first = run_fit(tmp_path / "run", digits, config, resume=True)
    assert run_fit(tmp_path / "run", digits, config, resume=True) == first


def test_resume_completes_the_folder(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there was no run yet, and where the files of another network are left."""
    config = replace(CONFIG, epochs=2)
    files = {"model.json", "samples.png", "recipe.yaml", "environment.json", "config.yaml"}
    stop_at(monkeypatch, 0, 1, KeyboardInterrupt())
    with pytest.raises(UserError, match="nothing is saved yet"):
        run_fit(tmp_path / "run", digits, config, resume=True, name="first")
    assert files <= {path.name for path in (tmp_path / "run").iterdir()}
    (tmp_path / "run" / "samples.png").unlink()
    stop_at(monkeypatch, 1, 1, KeyboardInterrupt())
    with pytest.raises(UserError, match="epoch 1 of 2 is saved"):
        run_fit(tmp_path / "run", digits, config, resume=True, name="second")
    assert ModelInfo.load(tmp_path / "run").name == "second"
    (tmp_path / "run" / "model.json").unlink()
    result = run_fit(tmp_path / "run", digits, config, resume=True, name="second")
    assert result.epochs == 2
    assert (tmp_path / "run" / "model.json").is_file()


def test_batch_of_one_says_what_bn_cannot_do(tmp_path: Path, digits: Sets) -> None:
    config = replace(CONFIG, batch_size=1, epochs=1, mixup=0.0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(4, 10),
    )
    with pytest.raises(InvalidValue, match=r"one value per channel.*--batch-size 2"):
        fit(network, *digits, config, RunFolder.open(tmp_path / "run", config.to_dict()))


def test_batch_of_one_in_two_processes_says_the_same(tmp_path: Path) -> None:
    # a spawned process hands over its traceback as text
    told = "Traceback ...\nValueError: Expected more than 1 value per channel when training, got 1"
    trainer = Mock(fit=Mock(side_effect=ProcessRaisedException(told, 0, 1)))
    with pytest.raises(InvalidValue, match=r"one value per channel.*--batch-size 2"):
        fit_resumable(trainer, Mock(), (None, None), RunFolder(tmp_path))


def test_damaged_checkpoint(tmp_path: Path, digits: Sets) -> None:
    config = replace(CONFIG, epochs=1)
    run_fit(tmp_path / "run", digits, config)
    checkpoint = tmp_path / "run" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InvalidValue, match="damaged or not ours"):
        run_fit(tmp_path / "run", digits, config, resume=True)


def spoil(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int, what: str) -> None:
    """Let the loss, or after the step a weight, become NaN."""
    original = ClassificationTask.training_step
    ended = ClassificationTask.on_train_batch_end

    def training_step(self: ClassificationTask, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        now = what == "loss" and (self.current_epoch, batch_idx) == (epoch, step)
        return loss * float("nan") if now else loss

    def on_train_batch_end(self: ClassificationTask, outputs: Any, batch: Any, step_: int) -> None:
        ended(self, outputs, batch, step_)
        if what in self.model.state_dict() and (self.current_epoch, step_) == (epoch, step):
            self.model.state_dict()[what].fill_(float("inf"))

    monkeypatch.setattr(ClassificationTask, "training_step", training_step)
    monkeypatch.setattr(ClassificationTask, "on_train_batch_end", on_train_batch_end)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, digits: Sets) -> Path:
    """A run of two epochs in which nothing went wrong."""
    folder = tmp_path_factory.mktemp("good") / "run"
    run_fit(folder, digits, replace(CONFIG, epochs=2))
    return folder


@pytest.mark.parametrize(
    ("what", "step", "message"),
    [
        ("loss", 2, r"became nan in epoch 2, step 3: the weights of epoch 1 are kept"),
        (
            "classifier.weight",
            3,
            r"infinite in epoch 2 \(.*classifier.weight\): .* of epoch 1 are kept",
        ),
        ("features.1.running_var", 3, r"infinite in epoch 2 .* of epoch 1 are kept"),
    ],
)
def test_nan_stops_and_keeps_the_last_good_weights(
    tmp_path: Path,
    good: Path,
    digits: Sets,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    step: int,
    message: str,
) -> None:
    spoil(monkeypatch, 1, step, what)
    with pytest.raises(InvalidValue, match=message):
        run_fit(tmp_path / "run", digits, replace(CONFIG, epochs=2))
    monkeypatch.undo()
    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 0
    for name in ("best.safetensors", "last.safetensors"):
        weights = load_file(tmp_path / "run" / name)
        averaged = {k: checkpoint["state_dict"][f"ema.module.{k}"] for k in weights}
        assert all(torch.equal(value, averaged[key]) for key, value in weights.items())
    assert len(metrics(tmp_path / "run")) == 1
    run_fit(tmp_path / "run", digits, replace(CONFIG, epochs=2), resume=True)
    one, other = (load_file(run / "last.safetensors") for run in (good, tmp_path / "run"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("what", "step"), [("loss", 0), ("classifier.weight", 3)])
def test_nan_in_the_first_epoch_keeps_nothing_and_says_so(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch, what: str, step: int
) -> None:
    config = replace(CONFIG, epochs=1)
    run_fit(tmp_path / "run", digits, config)
    spoil(monkeypatch, 0, step, what)
    run = RunFolder.open(tmp_path / "run", config.to_dict(), overwrite=True)
    with pytest.raises(InvalidValue, match="it was the first epoch, so no weights are kept"):
        fit(tiny_net(), *digits, config, run)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not left & {
        "best.safetensors",
        "last.safetensors",
        "last.ckpt",
        "result.json",
        "report.html",
    }


def test_full_disk(tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Trainer.save_checkpoint

    def save_checkpoint(self: Trainer, path: Any, *args: Any, **kwargs: Any) -> None:
        if self.current_epoch == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, path, *args, **kwargs)

    monkeypatch.setattr(Trainer, "save_checkpoint", save_checkpoint)
    with pytest.raises(InvalidValue, match=r"No space left on device.*the epoch before is still"):
        run_fit(tmp_path / "run", digits)
    monkeypatch.undo()
    run_fit(tmp_path / "run", digits, resume=True)
    assert [row["epoch"] for row in metrics(tmp_path / "run")] == [0, 1, 2, 3]


def test_architecture_goes_along(tmp_path: Path, digits: Sets) -> None:
    arch = Architecture.parse("net@16=conv3:1>8/1|k3_e1:8>8/2|head16:8>10/1")
    arch.save(tmp_path / "architecture.json")
    model = create_model(tmp_path / "architecture.json")
    config = replace(CONFIG, epochs=1, input_size=None)
    run = RunFolder.open(tmp_path / "run", config.to_dict())
    fit(model, *digits, config, run)
    again = create_model(tmp_path / "run").eval()
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(again(x), model(x)), "fit leaves the best weights in the model"
    assert Architecture.load(tmp_path / "run" / "architecture.json").input_size == 16


def test_misfits(tmp_path: Path, digits: Sets) -> None:
    run = RunFolder.open(tmp_path / "run", {})
    with pytest.raises(InvalidValue, match="takes 3 channels"):
        fit(TinyNet(in_chans=3), *digits, CONFIG, run)
    with pytest.raises(InvalidValue, match="has 7 outputs"):
        fit(TinyNet(num_classes=7), *digits, CONFIG, run)
    with pytest.raises(InvalidValue, match="unknown device 'gpu'"):
        make_trainer(run, max_epochs=1, seed=0, device="gpu")  # type: ignore[arg-type]


def test_digits_are_never_mirrored(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = ClassificationTask.__init__

    def init(self: ClassificationTask, model: Any, config: ClassifyRecipe, *rest: Any) -> None:
        seen.append(config.flip)
        original(self, model, config, *rest)

    monkeypatch.setattr(ClassificationTask, "__init__", init)
    run_fit(tmp_path / "run", digits, replace(CONFIG, epochs=1))
    assert seen == [0.0]


def test_progress_is_reported(tmp_path: Path, digits: Sets) -> None:
    events: list[Any] = []

    class Bar:
        def advance(self, amount: float = 1.0) -> None:
            events.append(amount)

        def note(self, text: str) -> None:
            events.append(text)

    class Listener:
        def open(self, description: str, total: float | None) -> Bar:
            events.append((description, total))
            return Bar()

        def close(self, task: Any) -> None:
            events.append("closed")

        def mark(self, text: str) -> None:
            events.append(text)

    with progress.reporting(Listener()):
        run_fit(tmp_path / "run", digits, replace(CONFIG, epochs=2), name="tiny")
    assert events[0] == ("training tiny", 8)
    assert events[-1] == "closed"
    assert events.count(1.0) == 8
    assert any(isinstance(e, str) and e.startswith("epoch 2/2 loss") for e in events)


def test_it_is_silent(tmp_path: Path, digits: Sets, capfd: pytest.CaptureFixture[str]) -> None:
    run_fit(tmp_path / "run", digits, replace(CONFIG, epochs=1))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.fixture
def restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning leaves the address of its process group behind."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("restored_environment")
def test_two_processes(tmp_path: Path, digits: Sets, capfd: pytest.CaptureFixture[str]) -> None:
    config = replace(CONFIG, epochs=2, num_processes=2, mixup=0.0)
    result = run_fit(tmp_path / "run", digits, config)
    rows = metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert round(result.value * 101) == pytest.approx(result.value * 101, abs=1e-4), (
        "every one of the 101 validation images counts once"
    )
    exploding = replace(config, lr=1e3, weight_decay=10.0, warmup_epochs=0, epochs=30)
    with pytest.raises(InvalidValue, match="became"):
        run_fit(tmp_path / "nan", digits, exploding)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.slow
@pytest.mark.usefixtures("restored_environment")
def test_two_processes_of_everything(tmp_path: Path, digits: Sets) -> None:
    config = replace(EVERYTHING, epochs=2, num_processes=2)
    result = fit_everything(tmp_path / "run", digits, config=config)
    rows = metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert result.value == max(row["val/top1"] for row in rows)
    with pytest.raises(InvalidValue, match=r"48 in all\) in each of 9 processes"):
        fit_everything(tmp_path / "many", digits, config=replace(config, num_processes=9))
