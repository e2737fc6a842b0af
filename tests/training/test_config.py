"""Recipes: all that come along load; mistakes name the nearest spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pocketeye.errors import InvalidType, InvalidValue, MissingFile
from pocketeye.training.config import TrainConfig, config_from_dict, list_recipes, load_recipe
from pocketeye.training.schedule import learning_rate_factor


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_loads_and_round_trips(name: str) -> None:
    config = load_recipe(name)
    data = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    again = config_from_dict(data)
    assert again.to_dict() == config.to_dict()


def test_fbnet_recipe_is_the_papers() -> None:
    config = load_recipe("fbnet-imagenet")
    factor = learning_rate_factor(config, steps=360)
    rates = [config.lr * factor(epoch) for epoch in (0, 89, 90, 179, 180, 269, 270, 359)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])
    assert (config.epochs, config.batch_size, config.weight_decay) == (360, 256, 4e-5)
    assert (config.optimizer, config.momentum) == ("momentum", 0.9)


def test_cosine_with_warmup() -> None:
    factor = learning_rate_factor(TrainConfig(epochs=10, warmup_epochs=2), steps=100)
    assert factor(0) == pytest.approx(0.01)
    assert factor(20) == pytest.approx(1.0)
    assert factor(60) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0.0)
    short = learning_rate_factor(TrainConfig(epochs=1, warmup_epochs=5), steps=10)
    assert short(5) == pytest.approx(1.0), "warm-up takes at most half of the steps"


def test_overrides_win_and_none_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nweight_decay: 4e-5\nmilestones: [1]\nschedule: step\n")
    config = load_recipe(path, epochs=7, lr=None)
    assert (config.epochs, config.weight_decay, config.milestones) == (7, 4e-5, (1,))
    assert config.lr == TrainConfig().lr


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
        ("- 1", "is no recipe"),
        ("a: [", "is not YAML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises((InvalidValue, InvalidType)) as caught:
        load_recipe(path)
    assert message in str(caught.value)


def test_unknown_recipe() -> None:
    with pytest.raises(InvalidValue, match="Did you mean 'digits'"):
        load_recipe("digts")
    with pytest.raises(MissingFile):
        load_recipe("nowhere/mine.yaml")
