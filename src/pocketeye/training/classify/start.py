"""Make the network a training starts from, with depth and heads as the recipe has them, and load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue
from pocketeye.models import create_model, load_checkpoint
from pocketeye.models.reference import Run, resolve
from pocketeye.models.weights.load import classes_in, head_names, read_state_dict
from pocketeye.training.classify.recipe import ClassifyRecipe


def start_network(
    model: str,
    images: ImageSet,
    config: ClassifyRecipe,
    *,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    new_head: bool = False,
) -> nn.Module:
    """Make the network of a run as it is before the first step; random weights follow from the seed.

    Args:
        model: as :func:`pocketeye.create_model` takes it. A run brings its weights; where the data have
            other classes, its classifier begins afresh.
        images: training set: gives classes and channels.
        config: gives ``drop_path_rate``, ``distill_head`` and ``seed``.
        pretrained: the published weights of that name, see :func:`pocketeye.create_model`.
        checkpoint: a file of weights to begin with instead.
        new_head: leave the file's classifier, so that it may be for other classes.

    Raises:
        InvalidValue, MissingFile: as ``create_model`` and ``load_checkpoint``; a network without what
            the recipe asks for; a file for another number of classes, or ``new_head`` without a file.
    """
    from_run = checkpoint is None and isinstance(resolve(model), Run)
    if checkpoint is None and new_head and not from_run:
        raise InvalidValue("a new head is for weights from a file: give --checkpoint too")
    if checkpoint is not None and pretrained:
        raise InvalidValue("weights come from a file or by name: give --checkpoint or --pretrained")
    asked: dict[str, Any] = {"num_classes": len(images.classes), "in_chans": images.in_chans}
    if config.drop_path_rate:
        asked["drop_path_rate"] = config.drop_path_rate
    if config.distill_head:
        asked["distilled"] = True
    # The seed of the recipe alone decides the weights, not what the process drew before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            module = create_model(model, pretrained, **asked)
        # Networks differ in what their constructors take; timm passes it on.
        except TypeError as error:
            _explain(error, model)
            raise
        if from_run and new_head:
            cast(Any, module).reset_classifier(len(images.classes))
        if checkpoint is not None:
            _load(module, checkpoint, len(images.classes), new_head)
    return module


def _explain(error: TypeError, model: str) -> None:
    """Raise InvalidValue for an argument that the constructor of a network does not have."""
    for argument, field, what in (
        ("drop_path_rate", "drop_path_rate", "no stochastic depth: set drop_path_rate to 0"),
        ("distilled", "distill_head", "no second head: leave out distill_head"),
    ):
        if f"'{argument}'" in str(error):
            raise InvalidValue(f"{field} is set, but {model} has {what}") from error


def require_drop_path(model: nn.Module, rate: float, name: str) -> None:
    """Raise InvalidValue if a recipe asks for stochastic depth and the network was made without."""
    kinds = ("DropPath", "StochasticDepth")
    if rate and not any(type(m).__name__ in kinds for m in model.modules()):
        raise InvalidValue(
            f"drop_path_rate is {rate:g}, but {name} has no stochastic depth: set it to 0, or make the "
            "network with drop_path_rate"
        )


def _load(module: nn.Module, checkpoint: Path, num_classes: int, new_head: bool) -> None:
    state = read_state_dict(checkpoint)
    held = classes_in(state, module)
    # Otherwise the shapes would be refused one by one, in torch's words.
    if held is not None and held != num_classes and not new_head:
        raise InvalidValue(
            f"{checkpoint} is for {held} classes, the data have {num_classes}: give --new-head to "
            "begin with a fresh classifier on its other weights"
        )
    reset: Any = getattr(module, "reset_classifier", None)
    if not new_head or held is None or reset is None:
        load_checkpoint(module, checkpoint)
        return
    # The head as the file has it, so that all its weights fit; it is replaced at the end.
    reset(held)
    heads = tuple(f"{name}." for name in head_names(module))
    # A file without a head keeps the fresh one.
    own = {key: value for key, value in module.state_dict().items() if key.startswith(heads)}
    try:
        load_checkpoint(module, {**own, **state})
    except InvalidValue as error:
        raise InvalidValue(str(error).replace("the state dict", str(checkpoint), 1)) from error
    reset(num_classes)
