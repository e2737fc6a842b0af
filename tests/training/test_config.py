"""Recipes: all that come along load; mistakes name the nearest spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pocketeye.errors import InvalidType, InvalidValue, MissingFile
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.schedule import learning_rate_factor
from pocketeye.training.engine.recipe import list_recipes


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_loads_and_round_trips(name: str) -> None:
    config = ClassifyRecipe.load(name)
    data = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    again = ClassifyRecipe.from_dict(data)
    assert again.to_dict() == config.to_dict()


def test_fbnet_recipe_is_the_papers() -> None:
    config = ClassifyRecipe.load("fbnet-imagenet")
    factor = learning_rate_factor(config, steps=360)
    rates = [config.lr * factor(epoch) for epoch in (0, 89, 90, 179, 180, 269, 270, 359)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])
    assert (config.epochs, config.batch_size, config.weight_decay) == (360, 256, 4e-5)
    assert (config.optimizer, config.momentum) == ("momentum", 0.9)


def test_cosine_with_warmup() -> None:
    factor = learning_rate_factor(ClassifyRecipe(epochs=10, warmup_epochs=2), steps=100)
    assert factor(0) == pytest.approx(0.01)
    assert factor(20) == pytest.approx(1.0)
    assert factor(60) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0.0)
    short = learning_rate_factor(ClassifyRecipe(epochs=1, warmup_epochs=5), steps=10)
    assert short(5) == pytest.approx(1.0), "warm-up takes at most half of the steps"


def test_cosine_between_absolute_rates() -> None:
    config = ClassifyRecipe(epochs=10, lr=0.2, min_lr=0.02, warmup_epochs=2, warmup_ratio=0.0)
    factor = learning_rate_factor(config, steps=100)
    rates = [config.lr * factor(step) for step in (0, 10, 20, 60, 100)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.11, 0.02])


def test_casvit_recipe_is_the_official_codes() -> None:
    """The table of the official code: main.py, engine.py and the README's command."""
    config = ClassifyRecipe.load("casvit-official")
    assert (config.epochs, config.warmup_epochs, config.warmup_ratio) == (300, 20, 0.0)
    assert (config.optimizer, config.lr, config.min_lr, config.weight_decay) == (
        "adamw", 6e-3, 1e-6, 0.05,
    )  # fmt: skip
    assert config.num_processes * config.batch_size * config.accumulate == 2048
    assert (config.precision, config.ema_decay, config.ema_warmup) == ("fp16", 0.9995, False)
    assert (config.label_smoothing, config.drop_path_rate, config.clip_grad) == (0.1, 0.1, 0.0)
    assert (config.mixup, config.cutmix, config.random_erasing) == (0.0, 0.0, 0.0)
    assert (config.auto_augment, config.rrc_scale) == ("rand-m9-mstd0.5-inc1", (0.08, 1.0))
    assert (config.interpolation, config.crop_pct, config.crop_mode) == ("bicubic", 0.875, "center")
    assert config.multi_scale == (
        (160, 248), (192, 176), (224, 128), (256, 128), (288, 128), (320, 128),
    )  # fmt: skip
    fine = ClassifyRecipe.load("casvit-384")
    assert (fine.epochs, fine.lr, fine.min_lr, fine.crop_mode) == (30, 5e-5, 5e-5, "warp")
    assert fine.num_processes * fine.batch_size * fine.accumulate == 1024


def test_overrides_win_and_none_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nweight_decay: 4e-5\nmilestones: [1]\nschedule: step\n")
    config = ClassifyRecipe.load(path, epochs=7, lr=None)
    assert (config.epochs, config.weight_decay, config.milestones) == (7, 4e-5, (1,))
    assert config.lr == ClassifyRecipe().lr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("epochs: many", "epochs must be a whole number, got 'many'"),
        ("epochs: 2.5", "epochs must be a whole number"),
        ("channels_last: 1", "channels_last must be true or false"),
        ("lr: true", "lr must be a number"),
        ("lr: 0", "lr must be from"),
        ("optimizer: sdg", "unknown optimizer 'sdg'. Did you mean 'sgd'"),
        ("schedule: step", "needs milestones"),
        ("milestones: 3", "must be a list"),
        ("mixup: 0.2\nbatch_size: 7", "even batch size"),
        ("mixup: 0.2\nmulti_scale: [[32, 8], [64, 5]]", "even batch size, got 5"),
        ("randaugment: 9", "unknown key 'randaugment' (known: "),
        ("auto_augmment: rand", "unknown key 'auto_augmment'; did you mean 'auto_augment'?"),
        ("auto_augment: rand-foo", "has no section 'foo'"),
        ("auto_augment: 9", "auto_augment must be text, got 9"),
        (
            "multi_scale: [[16, 8]]",
            "needs sizes of 32 pixels and batches of 1 or more, got [16, 8]",
        ),
        ("multi_scale: [[32, 0]]", "batches of 1 or more, got [32, 0]"),
        ("multi_scale: [[32.5, 8]]", "multi_scale must be a whole number, got 32.5"),
        ("multi_scale: [[32, 8, 1]]", "multi_scale must be a list of 2, got [32, 8, 1]"),
        ("multi_scale: [32, 8]", "multi_scale must be a list, got 32"),
        ("rrc_scale: [0.5, 0.2]", "rrc_scale must be two numbers, rising, from 0.001 to 1"),
        ("rrc_ratio: [0, 1]", "rrc_ratio must be two numbers"),
        ("rrc_scale: 0.3", "rrc_scale must be a list"),
        ("crop_mode: wrap", "unknown crop_mode 'wrap'. Did you mean 'warp'"),
        ("accumulate: 0", "accumulate must be from 1"),
        ("drop_path_rate: 1", "drop_path_rate must be from 0 to 0.99"),
        ("min_lr: 0.2", "min_lr must be from 0 to lr (0.1), got 0.2"),
        ("min_lr: 0.01\nschedule: step\nmilestones: [1]", "leave it out with 'step'"),
        ("warmup_ratio: 2", "warmup_ratio must be from 0 to 1"),
        ("warmup_epochs: 1\nwarmup_steps: 9", "in two units: set one of them to 0"),
        ("precision: fp8", "unknown precision 'fp8' (allowed: bf16, fp16, fp32)"),
        ("mixup_prob: 2", "mixup_prob must be from 0 to 1"),
        ("teacher: a\ndistill: sof", "unknown distill 'sof'. Did you mean 'soft'"),
        ("teacher: a", "but distill is 'none': choose soft or hard"),
        ("distill: hard", "distill 'hard' needs a teacher"),
        ("teacher_checkpoint: a.pt", "teacher_checkpoint is given without a teacher"),
        ("distill_head: true", "distill_head is given without a teacher"),
        ("teacher: a\ndistill: soft\ndistill_alpha: 2", "distill_alpha must be from 0 to 1"),
        ("- 1", "is no recipe"),
        ("a: [", "is not YAML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises((InvalidValue, InvalidType)) as caught:
        ClassifyRecipe.load(path)
    assert message in str(caught.value)


def test_unknown_recipe() -> None:
    with pytest.raises(InvalidValue, match="Did you mean 'digits'"):
        ClassifyRecipe.load("digts")
    with pytest.raises(MissingFile):
        ClassifyRecipe.load("nowhere/mine.yaml")
