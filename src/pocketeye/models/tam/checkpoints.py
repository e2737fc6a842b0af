"""Read weights of others: published EfficientTAM files, and SAM 2 and EfficientSAM to begin with.

The files of S, S/1, S/2 and S at 512 hold the same names and shapes (so do those of Ti): nothing in one
tells which it is but its name and its sha256.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import Tensor

from pocketeye.errors import InvalidValue, MissingFile, unknown
from pocketeye.models._registry import checkpoint_filter
from pocketeye.models.tam.create import create_tam, list_tams
from pocketeye.models.tam.published import (
    PUBLISHED,
    REPO,
    PublishedFile,
    bundled_weights as bundled_weights,
    checkpoint_folder,
)
from pocketeye.models.tam.tam import TAM
from pocketeye.runs import sha256_of

# Its first axis is the width of the ViT, which tells S from Ti.
_WIDTH_KEY = "image_encoder.trunk.patch_embed.proj.weight"
_BACKBONE, _NORMS = "image_encoder.trunk.backbone.", "image_encoder.trunk.norms."
# Ours are the official names but for three prefixes.
_PREFIXES = (
    ("sam_prompt_encoder.", "prompt_encoder."),
    ("sam_mask_decoder.", "mask_decoder."),
    ("image_encoder.neck.convs.0.", "image_encoder.neck."),
)
_NECK_OF_SAM = ("conv_1x1", "norm_0", "conv_3x3", "norm_1")  # its neck is a Sequential of these


def checkpoint_path(variant: str, folder: Path | None = None) -> Path:
    """Return the published file of ``variant`` on this machine, its sha256 verified.

    Raises:
        MissingFile: it is not here; the sentence says where to get it and where to put it.
        InvalidValue: unknown variant, or a file of that name with other content.
    """
    published = _published(variant)
    path = (folder or checkpoint_folder()) / published.file_name
    if not path.is_file():
        raise MissingFile(f"{path} is missing: {_remedy(published, path)}")
    return _verified(path, published)


def fetch(variant: str, folder: Path | None = None) -> Path:
    """Return the same, fetched from the authors' page first where it is not here yet.

    Raises:
        MissingFile: it could not be fetched; the sentence says what to put where.
        InvalidValue: unknown variant, or other content than was published.
    """
    published = _published(variant)
    path = (folder or checkpoint_folder()) / published.file_name
    if not path.is_file():
        try:
            hf_hub_download(REPO, published.file_name, local_dir=path.parent)
        except (OSError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            raise MissingFile(
                f"{published.file_name} could not be fetched: {_remedy(published, path)}"
            ) from error
    return _verified(path, published)


def _published(variant: str) -> PublishedFile:
    if variant not in PUBLISHED:
        raise unknown("published tracker", variant, PUBLISHED)
    return PUBLISHED[variant]


def _remedy(published: PublishedFile, path: Path) -> str:
    return f"bring {published.url} yourself and put it at {path}"


def _verified(path: Path, published: PublishedFile) -> Path:
    # At every use, not only after a download: the user may have put the file there by hand.
    got = sha256_of(path)
    if got != published.sha256:
        raise InvalidValue(
            f"{path} is not the published file (sha256 {got[:12]}…, published "
            f"{published.sha256[:12]}…): delete it and bring it again from {published.url}"
        )
    return path


def warn_of_other_variant(path: Path, model: TAM) -> None:
    """Warn where ``path`` is known, by sha256 or by name, to hold another variant's weights."""
    if model.variant not in PUBLISHED or not path.is_file():
        return
    digest = sha256_of(path)
    known = next((p.variant for p in PUBLISHED.values() if p.sha256 == digest), None)
    known = known or (path.stem if path.stem in PUBLISHED else None)
    if known is not None and known != model.variant:
        warnings.warn(
            f"{path.name} holds the weights of {known}, and goes into {model.variant}: the shapes "
            "are the same, the results are not those published",
            stacklevel=3,  # the line that called load_checkpoint
        )


def fitting_trackers(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the trackers whose weights have these names and shapes (ours)."""
    shapes = {key: value.shape for key, value in state_dict.items()}
    return [name for name in list_tams() if _shapes(name) == shapes]


@functools.cache  # making one takes a quarter of a second, and there are eleven
def _shapes(name: str) -> dict[str, torch.Size]:
    """Return the names and shapes of a tracker's weights."""
    with torch.device("meta"):  # shapes without memory
        return {key: value.shape for key, value in create_tam(name).state_dict().items()}


def other_tracker(state_dict: Mapping[str, Tensor], model: TAM) -> str | None:
    """Tell of which tracker weights (our names) are that do not fit; None where it cannot be told."""
    fitting = fitting_trackers(state_dict)
    if fitting:
        return f"it is of {' or '.join(fitting)}"
    own = {key for key in model.state_dict() if key.startswith(_BACKBONE)}
    theirs = {key for key in state_dict if key.startswith(_BACKBONE)}
    if not own or not theirs:
        return None
    # Half of the names must agree: the trunks of one family share most, those of two families few.
    if len(own & theirs) < len(own) / 2:
        return "its image encoder has another trunk: give --trunk the backbone it was trained with"
    if not any(key.startswith(_NORMS) for key in state_dict):
        return "it was trained before the maps of a trunk were normed: train it anew"
    return None


@checkpoint_filter(TAM, explain=other_tracker, after=warn_of_other_variant)
def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: TAM) -> dict[str, Tensor]:
    """Rename the official keys (or ours) to ours.

    Raises:
        InvalidValue: weights of another size.
    """
    ours = {_renamed(key): value for key, value in state_dict.items()}
    theirs, here = ours.get(_WIDTH_KEY), model.state_dict().get(_WIDTH_KEY)
    # load_state_dict would name hundreds of shapes; the width alone tells what to do.
    if theirs is not None and here is not None and theirs.shape[0] != here.shape[0]:
        size = {384: "efficienttam_s", 192: "efficienttam_ti"}.get(theirs.shape[0])
        remedy = f"make {size}, {size}_1, {size}_2 or {size}_512x512" if size else "make its own"
        raise InvalidValue(
            f"its image encoder is {theirs.shape[0]} wide, and that of "
            f"{model.variant or 'this network'} is {here.shape[0]}: {remedy} instead"
        )
    return ours


def _renamed(key: str) -> str:
    for theirs, here in _PREFIXES:
        if key.startswith(theirs):
            return here + key.removeprefix(theirs)
    return key


@dataclass(frozen=True, kw_only=True, slots=True)
class Initialised:
    """Report what :func:`initialize` did; all are names, ``left`` in the source's own spelling."""

    source: str
    taken: tuple[str, ...]
    left: tuple[str, ...]
    unchanged: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.source}: {len(self.taken)} entries taken, {len(self.left)} of the file left, "
            f"{len(self.unchanged)} of the network unchanged"
        )


def initialize(model: TAM, state_dict: Mapping[str, Any], source: str = "weights") -> Initialised:
    """Start from weights of a relative: whatever has the same meaning and shape is taken.

    SAM 2.0, SAM 2.1 and EdgeTAM give everything outside the image encoder (2.1 and EdgeTAM have parts
    that this network lacks); EfficientSAM gives the image encoder alone; EfficientTAM of another variant
    gives what fits. An image encoder is taken as a whole or not at all.

    Args:
        state_dict: bare names to tensors, see :func:`pocketeye.models.read_state_dict`.
        source: what to call it in the report.

    Raises:
        InvalidValue: nothing in it fits.
    """
    own = model.state_dict()
    # SAM's neck has numbers for names; ours and SAM 2's have not.
    is_sam = "image_encoder.neck.0.weight" in state_dict
    names = {key: _renamed_sam(key) if is_sam else _renamed(key) for key in state_dict}
    fits = {
        key: name
        for key, name in names.items()
        if name in own and state_dict[key].shape == own[name].shape
    }
    encoder = {name for name in own if name.startswith("image_encoder.")}
    # All or nothing: layers trained together mean nothing between random ones.
    if not encoder <= set(fits.values()):
        fits = {key: name for key, name in fits.items() if name not in encoder}
    if not fits:
        raise InvalidValue(
            f"nothing in {source} fits {model.variant or 'this network'}: it takes weights of "
            "EfficientTAM, SAM 2, EdgeTAM or EfficientSAM of its own widths"
        )
    # Not strict: which entries there are was chosen above.
    model.load_state_dict({name: state_dict[key] for key, name in fits.items()}, strict=False)
    return Initialised(
        source=source,
        taken=tuple(sorted(fits.values())),
        left=tuple(sorted(set(state_dict) - set(fits))),
        unchanged=tuple(sorted(set(own) - set(fits.values()))),
    )


def _renamed_sam(key: str) -> str:
    """Return our name of a key of EfficientSAM's image encoder; "" for its other parts.

    Those are SAM's first decoder, another than SAM 2's.
    """
    encoder, _, rest = key.partition(".")
    if encoder != "image_encoder":
        return ""
    neck = re.fullmatch(r"neck\.(\d)\.(.+)", rest)
    if neck:
        return f"image_encoder.neck.{_NECK_OF_SAM[int(neck[1])]}.{neck[2]}"
    rest = rest.replace("mlp.fc1.", "mlp.layers.0.").replace("mlp.fc2.", "mlp.layers.1.")
    return f"image_encoder.trunk.{rest}"
