"""Load what a tracker's training begins with: weights of its own kind, a relative's, a classifier's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from pocketeye.data.clips import ClipSource
from pocketeye.errors import InvalidValue
from pocketeye.layers import normalise
from pocketeye.models import create_model, load_checkpoint
from pocketeye.models.tam import TAM, BackboneTrunk
from pocketeye.models.tam.checkpoints import initialize
from pocketeye.models.tam.described import weights_in
from pocketeye.models.weights.load import read_state_dict

_MEASURED_CLIPS = 32  # the statistics of 64 clips differ from those of 32 by 2 % at most (Lite0)


def begin_with(
    model: TAM, *, checkpoint: Path | None = None, start_from: Path | None = None
) -> str:
    """Load what a training begins with into ``model``.

    Args:
        checkpoint: a run folder or file of this very network.
        start_from: a run folder of ``pocketeye train``, whose backbone goes into the image encoder; or
            the name of a classifier with published weights (``tf_efficientnet_lite0``); or a file, of
            which is taken what fits: a classifier of the trunk's kind, EfficientSAM, SAM 2, EdgeTAM or
            another EfficientTAM.

    Returns:
        One sentence on what was taken; empty where nothing was asked for.

    Raises:
        InvalidValue: both are given, or nothing fits. MissingFile: nothing there.
    """
    if checkpoint is not None and start_from is not None:
        raise InvalidValue(
            "give --checkpoint for weights of this network, or --start-from for those of a relative, "
            "not both"
        )
    if checkpoint is not None:
        load_checkpoint(model, weights_in(checkpoint))
        return f"all weights are those of {checkpoint}"
    if start_from is None:
        return ""
    name = str(start_from)
    # A folder of that name goes first: what lies on the disk is what the user sees.
    if not start_from.exists() and timm.is_model(name):
        state = in_imagenet_colours(create_model(name, pretrained=True))
    else:
        state = read_state_dict(weights_in(start_from))
    taken = _into_trunk(model, state)
    if not taken:
        return str(initialize(model, state, str(start_from)))
    return f"{start_from}: {taken} entries taken as the backbone of the image encoder"


def in_imagenet_colours(model: nn.Module) -> dict[str, Tensor]:
    """Return a classifier's weights for images normalised by ImageNet's mean and deviation.

    Trackers see such images. Where the classifier was trained on others, the difference goes into its
    first convolution and the mean of the BN behind it; this is exact but at the border, where zeros
    are padded.
    """
    state = dict(model.state_dict())
    cfg: Any = model.pretrained_cfg
    mean, std = torch.tensor(cfg["mean"]), torch.tensor(cfg["std"])
    ours = torch.tensor(IMAGENET_DEFAULT_MEAN), torch.tensor(IMAGENET_DEFAULT_STD)
    if torch.equal(mean, ours[0]) and torch.equal(std, ours[1]):
        return state
    modules = dict(model.named_modules())
    names = list(modules)
    conv = cfg["first_conv"]
    behind = names[names.index(conv) + 1 :]
    norm = next(name for name in behind if isinstance(modules[name], nn.BatchNorm2d))
    weight = state[f"{conv}.weight"]
    # A constant that was in every pixel comes out of the convolution as a constant per channel.
    shift = (weight * ((ours[0] - mean) / std)[:, None, None]).sum((1, 2, 3))
    state[f"{conv}.weight"] = weight * (ours[1] / std)[:, None, None]
    state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - shift
    return state


def _into_trunk(model: TAM, state: dict[str, Tensor]) -> int:
    """Load a classifier's backbone into a trunk of its kind; return how many entries, 0 for no such."""
    trunk = model.image_encoder.trunk
    if not isinstance(trunk, BackboneTrunk):
        return 0
    own = trunk.backbone.state_dict()
    # timm flattens the names of a backbone made for features: stages.0 becomes stages_0
    renamed = {_features_only_name(key, own): value for key, value in state.items()}
    fits = {k: v for k, v in renamed.items() if k in own and v.shape == own[k].shape}
    # num_batches_tracked is a counter that some files leave out; nothing else may be missing.
    missing = [k for k in own if k not in fits and not k.endswith("num_batches_tracked")]
    if not fits or missing:
        return 0
    trunk.backbone.load_state_dict({**own, **fits})
    return len(fits)


def _features_only_name(key: str, own: dict[str, Tensor]) -> str:
    # timm wraps a network that it cannot cut up by stages: "model." stands before all names.
    if key in own or f"model.{key}" in own:
        return key if key in own else f"model.{key}"
    parts = key.split(".")
    for count in range(2, len(parts)):
        flat = ".".join(["_".join(parts[:count]), *parts[count:]])
        if flat in own:
            return flat
    return key


@torch.no_grad()
def measure_maps(model: TAM, clips: ClipSource) -> None:
    """Set the norms of the maps of a :class:`BackboneTrunk` to the statistics of training frames.

    A recipe with ``freeze_bn`` keeps these statistics, so that the trunk's pretrained weights are read
    at the scale of one from the first step. A trunk of another kind stays as it is, as do norms that
    came with weights.
    """
    trunk = model.image_encoder.trunk
    if not isinstance(trunk, BackboneTrunk):
        return
    norms = [norm for norm in trunk.norms.values() if isinstance(norm, nn.BatchNorm2d)]
    # Statistics came with the weights, and are those that the weights were trained with.
    if any(norm.num_batches_tracked for norm in norms):
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    model.eval()  # the backbone's own norms keep theirs: only the maps' norms measure
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    for index in range(min(_MEASURED_CLIPS, len(clips))):
        trunk.encode_image(normalise(clips[index].frames[:1].float() / 255))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)
