"""Recipes of detectors and segmenters, and the learning rate they mean."""

from __future__ import annotations

import pytest

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.models.dense.described import DENSE_TASKS
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.schedule import dense_learning_rate_factor
from pocketeye.training.engine.recipe import list_recipes

ALL = [(task, name) for task in DENSE_TASKS for name in list_recipes(task)]


@pytest.mark.parametrize(("task", "name"), ALL)
def test_every_recipe_can_be_read(task, name) -> None:
    config = DenseRecipe.load(name, task)
    assert config.task == task
    assert DenseRecipe.load(name, task, epochs=3).epochs == 3


def test_the_recipes_of_the_authors() -> None:
    """The numbers of CAS-ViT's configs for mmdetection 2.24 and mmsegmentation 0.24."""
    for task, name in (("detect", "retinanet-1x"), ("instance", "mask-rcnn-1x")):
        config = DenseRecipe.load(name, task)
        assert (config.epochs, config.milestones, config.gamma) == (12, (8, 11), 0.1)
        assert config.batch_size * config.num_processes == 32
        assert (config.lr, config.weight_decay, config.decay_norms) == (2e-4, 1e-4, True)
        assert (config.warmup_steps, config.warmup_ratio, config.clip_grad) == (500, 1e-6, 0)
        assert (config.train_sizes, config.input_size, config.max_size) == ((800,), 800, 1333)
        assert (config.norms, config.trainable_stages, config.fpn_channels) == ("eval", 4, 256)
    for name, steps, batch in (("semantic-fpn-40k", 40_000, 32), ("semantic-fpn-80k", 80_000, 16)):
        config = DenseRecipe.load(name, "semantic")
        assert config.epochs * config.steps_per_epoch == steps
        assert config.batch_size * config.num_processes == batch
        assert (config.schedule, config.power, config.min_lr, config.warmup_steps) == (
            "poly",
            0.9,
            0,
            0,
        )
        assert (config.crop, config.scale, config.cat_max_ratio) == (512, (0.5, 2.0), 0.75)
        assert (config.norms, config.head_norms, config.drop_rate) == ("eval", "sync", 0.1)


def test_the_learning_rate_by_step() -> None:
    factor = dense_learning_rate_factor(DenseRecipe.load("retinanet-1x", "detect"), 100)
    assert factor(0) == pytest.approx(1e-6)
    assert factor(250) == pytest.approx(0.5, abs=1e-3)
    assert factor(500) == factor(799) == 1
    assert factor(800) == pytest.approx(0.1)
    assert factor(1199) == pytest.approx(0.01)
    factor = dense_learning_rate_factor(DenseRecipe.load("semantic-fpn-40k", "semantic"), 4000)
    assert factor(0) == 1
    assert factor(20_000) == pytest.approx(0.5**0.9)
    assert factor(40_000) == 0
    cosine = DenseRecipe(schedule="cosine", epochs=2, warmup_steps=0)
    assert dense_learning_rate_factor(cosine, 10)(10) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "detects"}, "task"),
        ({"norms": "life"}, "norms"),
        ({"train_sizes": ()}, "train_sizes is empty"),
        ({"train_sizes": (16,)}, "train_sizes"),
        ({"max_size": 100}, "max_size"),
        ({"scale": (2.0, 0.5)}, "scale must rise"),
        ({"backbone_lr": -1.0}, "backbone_lr"),
        ({"head_norms": "sync"}, "head_norms are of task semantic"),
        ({"optimizer": "adamv"}, "optimizer"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
    ],
)
def test_mistakes_are_named(change, message) -> None:
    with pytest.raises(InvalidValue, match=message):
        DenseRecipe(**change)


def test_files(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: detect\ntrain_sizes: [320, 352]\nlr: 1e-4\n")
    config = DenseRecipe.load(path, "detect")
    assert (config.train_sizes, config.lr) == ((320, 352), 1e-4)
    with pytest.raises(
        InvalidValue, match="is a recipe of pocketeye train detect, not of semantic"
    ):
        DenseRecipe.load(path, "semantic")
    path.write_text("task: detect\ninput_size: [320]\n")
    with pytest.raises(InvalidType, match="input_size"):
        DenseRecipe.load(path, "detect")
    path.write_text("task: detect\nmin_sizs: [320]\n")
    with pytest.raises(InvalidValue, match="did you mean 'train_sizes'"):
        DenseRecipe.load(path, "detect")
    with pytest.raises(InvalidValue, match="Did you mean 'retinanet-1x'"):
        DenseRecipe.load("retinanet-2x", "detect")
