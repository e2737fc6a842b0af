"""Load a network with its weights on a device, to open sessions with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketeye.devices import Device
from pocketeye.errors import InvalidType
from pocketeye.models import TAM, load_checkpoint
from pocketeye.tracking.io.source import open_video
from pocketeye.tracking.open_model import open_model, weights_file
from pocketeye.tracking.video.confidence import curve_of
from pocketeye.tracking.video.network import DTypeName, TrackerNetwork
from pocketeye.tracking.video.options import Options
from pocketeye.tracking.video.session import Session


class Tracker(TrackerNetwork):
    """Open sessions with one network; :func:`load_tracker` makes it from a name.

    Args:
        model: with its weights; put into eval mode and moved.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        dtype: ``bfloat16`` computes under autocast.
    """

    def open(self, source: Any = None, **options: Any) -> Session:
        """Start a session.

        Args:
            source: what :func:`open_video` takes (a file, a folder of images, frames, the number of
                a camera), or None for frames that are pushed.
            options: see :class:`Options`; ``fps`` goes to :func:`open_video`.

        Raises:
            UserError: the source cannot be opened, or an unknown option.
        """
        fps = options.pop("fps", None)  # belongs to the video, all others to the session
        chosen = Options.of(options)
        return Session(self, None if source is None else open_video(source, fps=fps), chosen)


def load_tracker(
    model: str | TAM,
    checkpoint: str | Path | None = None,
    *,
    device: Device = "auto",
    dtype: DTypeName = "float32",
    untrained: bool = False,
) -> Tracker:
    """Make a tracker.

    Args:
        model: one of :func:`pocketeye.models.list_tams`, the folder of a run that trained one, or a
            network whose weights are in it.
        checkpoint: file of its weights; by default those that come with the package, or a published
            network's own file in ``$POCKETEYE_WEIGHTS`` or ``~/.cache/pocketeye/weights``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        dtype: ``float32``, or ``bfloat16`` for autocast.
        untrained: random weights, for tests and benchmarks: its masks mean nothing.

    Raises:
        MissingFile: no weights here; the sentence says which file to put where.
        InvalidValue: unknown network or device, or weights that do not fit.
    """
    weights = None
    if isinstance(model, str):
        network = open_model(model, checkpoint=checkpoint, device=device, untrained=untrained)
        weights = None if untrained else weights_file(model, checkpoint)
    elif isinstance(model, TAM):
        network = model
        if checkpoint is not None:
            load_checkpoint(network, checkpoint)
    else:
        raise InvalidType(f"a tracker is a name or a TAM, got {type(model).__name__}")
    tracker = Tracker(network, device, dtype)
    tracker.confidence = curve_of(weights)
    return tracker
