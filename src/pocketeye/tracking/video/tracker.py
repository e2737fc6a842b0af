"""Load a tracker, to open sessions with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from pocketeye.errors import InvalidType
from pocketeye.tracking.engine.base import Engine, TrackerFacts
from pocketeye.tracking.io.source import open_video
from pocketeye.tracking.video.confidence import ConfidenceCurve, curve_of
from pocketeye.tracking.video.options import Options
from pocketeye.tracking.video.session import Session

if TYPE_CHECKING:
    from pocketeye.models import TAM
    from pocketeye.tracking.engine.torch_engine import TorchEngine

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DTypeName = Literal["float32", "bfloat16"]
E = TypeVar("E", bound=Engine, covariant=True)


class Tracker(Generic[E]):
    """Open sessions with one engine; :func:`load_tracker` makes it from a name.

    Attributes:
        engine: what computes.
        confidence: tells from an answer's signals how likely its mask is right; None where nobody
            measured it for these weights.
    """

    def __init__(self, engine: E, confidence: ConfidenceCurve | None = None) -> None:
        self.engine, self.confidence = engine, confidence

    @property
    def facts(self) -> TrackerFacts:
        """What is known of the tracker: its sizes, its rule of memory, its limits."""
        return self.engine.facts

    def open(self, source: Any = None, **options: Any) -> Session:
        """Start a session.

        Args:
            source: what :func:`open_video` takes (a file, a folder of images, frames, the number of
                a camera), or None for frames that are pushed.
            options: see :class:`Options`; ``fps`` goes to :func:`open_video`.

        Raises:
            UserError: the source cannot be opened, an unknown option, or one that the engine cannot
                honour.
        """
        fps = options.pop("fps", None)  # belongs to the video, all others to the session
        chosen = Options.of(options)
        engine = self.engine.computing(plain=chosen.plain, round_maps=chosen.round_maps)
        video = None if source is None else open_video(source, fps=fps)
        return Session(engine, video, chosen, self.confidence)


@overload
def load_tracker(
    model: TAM,
    checkpoint: str | Path | None = None,
    *,
    device: DeviceName = "auto",
    dtype: DTypeName = "float32",
    untrained: bool = False,
) -> Tracker[TorchEngine]: ...


@overload
def load_tracker(
    model: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: DeviceName = "auto",
    dtype: DTypeName = "float32",
    untrained: bool = False,
) -> Tracker[Engine]: ...


def load_tracker(
    model: str | Path | TAM,
    checkpoint: str | Path | None = None,
    *,
    device: DeviceName = "auto",
    dtype: DTypeName = "float32",
    untrained: bool = False,
) -> Tracker[Engine]:
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
    from pocketeye.models import TAM, load_checkpoint
    from pocketeye.tracking.engine.torch_engine import TorchEngine
    from pocketeye.tracking.networks import open_model, weights_file

    weights = None
    if isinstance(model, str | Path):
        name = str(model)
        network = open_model(name, checkpoint=checkpoint, device=device, untrained=untrained)
        weights = None if untrained else weights_file(name, checkpoint)
    elif isinstance(model, TAM):
        network = model
        if checkpoint is not None:
            load_checkpoint(network, checkpoint)
    else:
        raise InvalidType(f"a tracker is a name or a TAM, got {type(model).__name__}")
    return Tracker(TorchEngine(network, device, dtype), curve_of(weights))
