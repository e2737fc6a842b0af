"""Open a tracker by name or run folder as a network with weights, or say which file to bring."""

from __future__ import annotations

from pathlib import Path

import torch

from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import TAM, list_tams, load_checkpoint
from pocketeye.models.reference import Run, expect
from pocketeye.models.tam.checkpoints import bundled_weights, checkpoint_path
from pocketeye.models.tam.described import TrackerDescription, weights_in
from pocketeye.models.tam.published import PUBLISHED, checkpoint_folder
from pocketeye.models.task import SEGMENT_ANYTHING, TRACK


def open_model(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "auto",
    image_size: int | tuple[int, int] | None = None,
    untrained: bool = False,
) -> TAM:
    """Open a tracker's network in eval mode on a device, without gradients.

    Args:
        name: one of :func:`pocketeye.models.list_tams`, or the folder of a run that trained one.
        checkpoint: file or run folder of weights; by default those of the run, those that come with
            the package, or the published ones, where they were put into
            :func:`pocketeye.models.tam.checkpoints.checkpoint_folder`. Nothing is fetched.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or torch's.
        image_size: of the network's input, see :func:`pocketeye.models.create_tam`.
        untrained: random weights, those of seed 0, for timing and tests: the masks mean nothing.

    Raises:
        MissingFile: no weights; the sentence says which file to put where.
        InvalidValue: unknown name or device, a network that is no tracker, or weights that are damaged
            or do not fit.
    """
    named = expect(name, "a tracker's command", (TRACK, SEGMENT_ANYTHING), artifacts=False)
    if untrained and checkpoint is not None:
        raise InvalidValue(f"give either untrained or a checkpoint ({checkpoint}), not both")
    place = resolve_device(device)
    if isinstance(named, Run):
        described, own = TrackerDescription.load(named.folder), named.folder
    else:
        described, own = TrackerDescription(variant=named.name), None
    weights = None if untrained else _weights(name, own if checkpoint is None else checkpoint)
    # Random weights are those of seed 0, whatever was drawn before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = described.make(image_size)
    if weights is not None:
        load_checkpoint(model, weights)
    # Tracking needs no gradients, and their memory is better spent on frames.
    return model.eval().requires_grad_(False).to(place)


def weights_file(name: str, checkpoint: str | Path | None = None) -> Path:
    """Return the file that :func:`open_model` reads the weights of a tracker from.

    Raises:
        MissingFile: there is none; the sentence says which to put where.
        InvalidValue: no tracker.
    """
    named = expect(name, "a tracker's command", (TRACK, SEGMENT_ANYTHING), artifacts=False)
    own = named.folder if isinstance(named, Run) else None
    return _weights(name, own if checkpoint is None else checkpoint)


def weights_here(name: str) -> Path | None:
    """Return where a tracker's own weights lie on this machine, not verified; None without them."""
    if name not in PUBLISHED:
        return bundled_weights(name)
    path = checkpoint_folder() / PUBLISHED[name].file_name
    return path if path.is_file() else None


def _weights(name: str, checkpoint: str | Path | None) -> Path:
    if checkpoint is not None:
        return weights_in(Path(checkpoint))
    path = weights_here(name)
    if path is not None:
        # Published files are verified: they came from elsewhere.
        return checkpoint_path(name) if name in PUBLISHED else path
    ours = next((ours for ours in list_tams() if bundled_weights(ours)), None)
    or_ours = f", or take {ours}, whose weights come with pocketeye" if ours else ""
    if name not in PUBLISHED:
        raise MissingFile(
            f"there are no weights of {name}: nobody has published any; give a file of your own with "
            f"--checkpoint (without weights its masks would mean nothing){or_ours}"
        )
    published = PUBLISHED[name]
    raise MissingFile(
        f"there are no weights of {name} here: bring {published.url} and put it at "
        f"{checkpoint_folder() / published.file_name}, or name the file with --checkpoint{or_ours}"
    )
