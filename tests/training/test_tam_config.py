"""Recipes, schedules and parameter groups of trackers."""

from __future__ import annotations

import pytest
import torch
import yaml

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.models import create_tam
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.engine.recipe import list_recipes
from pocketeye.training.tam.optim import make_optimizer, parameter_groups, tam_learning_rate_factor
from pocketeye.training.tam.recipe import (
    TAM_TASKS,
    TamRecipe,
)
from tests.training.tam_clips import tiny_tam

RECIPES = [(task, name) for task in TAM_TASKS for name in list_recipes(task)]


@pytest.mark.parametrize(("task", "name"), RECIPES)
def test_every_recipe_loads_and_round_trips(task, name):
    config = TamRecipe.load(name, task)
    assert config.task == task
    data = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    assert TamRecipe.from_dict(data).to_dict() == config.to_dict()


def test_there_are_recipes_of_the_paper_and_small_ones():
    names = {"segment-anything-sa1b", "segment-anything-small", "track-sav", "track-small"}
    assert names <= {name for _, name in RECIPES}
    assert not names & set(list_recipes())


def test_the_papers_second_stage():
    config = TamRecipe.load("track-sav", "track")
    assert config.epochs * config.steps_per_epoch == 300_000
    assert config.batch_size * config.num_processes == 256
    assert (config.lr, config.encoder_lr, config.layer_decay) == (3e-4, 6e-5, 0.8)
    assert (config.schedule, config.warmup_steps, config.weight_decay) == ("cosine", 15_000, 0.1)
    weights = config.loss_weights
    assert (weights.focal, weights.dice, weights.iou, weights.object) == (20, 1, 1, 1)


def test_the_papers_first_stage():
    config = TamRecipe.load("segment-anything-sa1b", "segment-anything")
    factor = tam_learning_rate_factor(config, 90_000)
    assert config.epochs * config.steps_per_epoch == 90_000
    assert factor(999) == pytest.approx(1.0, abs=2e-3)
    assert factor(4000) == pytest.approx(0.5)
    assert factor(85_000) == pytest.approx((1000 / 85_000) ** 0.5)
    assert factor(87_500) == pytest.approx(0.5 * (1000 / 85_000) ** 0.5)
    assert factor(90_000) == 0


def test_cosine_falls_to_its_floor():
    config = TamRecipe(lr=1e-3, min_lr=1e-4, warmup_steps=10)
    factor = tam_learning_rate_factor(config, 110)
    assert [factor(step) for step in (10, 60, 110)] == pytest.approx([1.0, 0.55, 0.1])
    assert 0 < factor(0) < factor(5) < factor(9) < 1
    constant = tam_learning_rate_factor(TamRecipe(schedule="constant", cooldown_steps=20), 100)
    assert [constant(step) for step in (0, 79, 90, 100)] == pytest.approx([1, 1, 0.5, 0])


def test_mistakes_in_a_recipe():
    with pytest.raises(InvalidValue, match="did you mean 'clip_grad'"):
        TamRecipe.from_dict({"clip_gard": 1})
    with pytest.raises(InvalidType, match="epochs must be a whole number"):
        TamRecipe.from_dict({"epochs": "many"})
    with pytest.raises(InvalidValue, match="shares of one whole"):
        TamRecipe(mask_prob=0.8, box_prob=0.4)
    with pytest.raises(InvalidValue, match="num_frames of 2 or more"):
        TamRecipe(num_frames=1)
    with pytest.raises(InvalidValue, match="is a recipe of pocketeye train track, not of classify"):
        ClassifyRecipe.load("track-small")
    with pytest.raises(InvalidValue, match="is a recipe of pocketeye train classify, not of track"):
        TamRecipe.load("digits", "track")
    with pytest.raises(InvalidValue, match="Did you mean 'track-small'"):
        TamRecipe.load("track-smal", "track")


def test_every_parameter_is_in_one_group_with_its_rate():
    model = tiny_tam()
    config = TamRecipe(lr=1e-3, encoder_lr=1e-4, layer_decay=0.5, weight_decay=0.1)
    groups = parameter_groups(model, config)
    members = [p for group in groups for p in group["params"]]
    assert {id(p) for p in members} == {id(p) for p in model.parameters()}
    assert len(members) == len(list(model.parameters()))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, p in model.named_parameters():
        assert decay[id(p)] == (0.0 if p.ndim <= 1 else 0.1), name
        if name.startswith("image_encoder.trunk."):
            assert rate[id(p)] <= 1e-4, name
        else:
            assert rate[id(p)] == (1e-4 if name.startswith("image_encoder.") else 1e-3), name
    optimizer = make_optimizer(model, config)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.9, 0.999)


def test_layers_of_a_vit_decay_block_by_block():
    with torch.device("meta"):
        model = create_tam("efficienttam_ti_512x512")
    groups = parameter_groups(model, TamRecipe(lr=1e-3, encoder_lr=1e-4, layer_decay=0.8))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    blocks = model.image_encoder.trunk.blocks
    rates = [rate[id(block.attn.qkv.weight)] for block in blocks]
    assert rates == pytest.approx([1e-4 * 0.8 ** (11 - n) for n in range(12)])
    for block, expected in zip(blocks, rates, strict=True):
        assert {rate[id(p)] for p in block.parameters()} == {expected}
    first = rate[id(model.image_encoder.trunk.patch_embed.proj.weight)]
    assert first == pytest.approx(1e-4 * 0.8**12)
