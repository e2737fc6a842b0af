"""Load a tracker, to open sessions with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

from pocketeye.errors import InvalidType, InvalidValue, unknown
from pocketeye.latency.machine import has_accelerator, usable_cores
from pocketeye.models.tam.published import bundled_graphs
from pocketeye.reading import can_exist
from pocketeye.runs import MANIFEST, TRACKER_MANIFEST
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
EngineName = Literal["auto", "onnxruntime", "torch"]
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
        self._require_room(chosen)
        engine = self.engine.computing(plain=chosen.plain, round_maps=chosen.round_maps)
        video = None if source is None else open_video(source, fps=fps)
        return Session(engine, video, chosen, self.confidence)

    def _require_room(self, options: Options) -> None:
        facts, recent = self.facts, self.facts.num_maskmem - 1
        if facts.max_maps is not None and options.max_prompted_maps + recent > facts.max_maps:
            raise InvalidValue(
                f"max_prompted_maps={options.max_prompted_maps} and the {recent} maps of frames just "
                f"before are more than the {facts.max_maps} this tracker was exported for: give "
                f"{facts.max_maps - recent} or fewer, or open the tracker by its name"
            )


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
    threads: int | None = None,
    engine: EngineName = "auto",
) -> Tracker[Engine]: ...


def load_tracker(
    model: str | Path | TAM,
    checkpoint: str | Path | None = None,
    *,
    device: DeviceName = "auto",
    dtype: DTypeName = "float32",
    untrained: bool = False,
    threads: int | None = None,
    engine: EngineName = "auto",
) -> Tracker[Engine]:
    """Make a tracker.

    Args:
        model: one of :func:`pocketeye.models.list_tams`, the folder of a run that trained one, the
            folder of an exported one (which runs without torch), or a network whose weights are in it.
        checkpoint: file of its weights; by default those that come with the package, or a published
            network's own file in ``$POCKETEYE_WEIGHTS`` or ``~/.cache/pocketeye/weights``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        dtype: ``float32``, or ``bfloat16`` for autocast.
        untrained: random weights, for tests and benchmarks: its masks mean nothing.
        threads: of an exported tracker's runtime; by default as many as there are cores to use.
        engine: ``torch``, or ``onnxruntime``, which runs graphs. ``auto`` takes the graphs that come
            along with a tracker's weights where a CPU computes in float32: they start without torch and
            take half the time. An exported tracker has its own runtime.

    Raises:
        MissingFile: no weights here; the sentence says which file to put where.
        InvalidValue: unknown network or device, weights that do not fit, an artefact that is damaged
            or of another kind, or an option that an exported tracker cannot honour.
        MissingExtra: the artefact's runtime is not installed.
    """
    if engine not in get_args(EngineName):
        raise unknown("engine", engine, get_args(EngineName))
    folder = exported_at(model) if isinstance(model, str | Path) else None
    if folder is not None:
        _refuse(str(model), checkpoint, device, dtype, untrained, engine)
        return _open_exported(folder, threads)
    own = None
    if isinstance(model, str) and checkpoint is None and not untrained and dtype == "float32":
        own = own_graphs(model, device, engine)
    if own is not None:
        return _open_exported(own, threads)
    if engine == "onnxruntime":
        raise InvalidValue(
            f"no graphs of {model} come along for these options: export it (pocketeye export) and name "
            "the folder, or take the engine torch"
        )
    if threads is not None:
        raise InvalidValue(
            "threads is of an exported tracker: for a network in torch call torch.set_num_threads"
        )
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


def own_graphs(name: str, device: str, engine: str) -> Path | None:
    """Return the graphs that come along with a tracker where they are to compute, else None."""
    # A run's folder of that name wins over what comes along.
    elsewhere = can_exist(Path(name)) and Path(name).is_dir()
    if engine == "torch" or device not in ("auto", "cpu") or elsewhere:
        return None
    found = bundled_graphs(name)
    if found is None or engine == "onnxruntime" or device == "cpu":
        return found
    return None if has_accelerator() else found


def exported_at(model: str | Path) -> Path | None:
    """Return the folder of an exported tracker that a name means; None where it means another thing."""
    path = Path(model)
    if not can_exist(path):
        return None
    # A file of the folder names the folder: shells complete paths to files.
    folder = path.parent if path.name in (MANIFEST, TRACKER_MANIFEST) else path
    return folder if (folder / TRACKER_MANIFEST).is_file() else None


def _refuse(
    model: str, checkpoint: str | Path | None, device: str, dtype: str, untrained: bool, engine: str
) -> None:
    """Refuse what only a network in torch can honour.

    Raises:
        InvalidValue: something of that kind was asked for.
    """
    given = {
        f"checkpoint {checkpoint}": checkpoint is not None,
        f"device {device}": device not in ("auto", "cpu"),
        f"dtype {dtype}": dtype != "float32",
        "untrained": untrained,
        f"engine {engine}": engine == "torch",
    }
    asked = [what for what, is_given in given.items() if is_given]
    if asked:
        raise InvalidValue(
            f"{model} is an exported tracker, which has its weights and runs on the CPU in the "
            f"precision of its export: leave {' and '.join(asked)} out, or name the network"
        )


def _open_exported(folder: Path, threads: int | None) -> Tracker[Engine]:
    from pocketeye.tracking.engine.artifact_folder import open_artifact

    engine, curve = open_artifact(folder, threads=_usual_threads() if threads is None else threads)
    return Tracker(engine, curve)


def _usual_threads() -> int:
    """Return as many threads as there are cores to use, or as the environment allows, as torch does."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    cores = usable_cores()
    return min(cores, int(allowed)) if allowed.isdigit() and int(allowed) else cores
