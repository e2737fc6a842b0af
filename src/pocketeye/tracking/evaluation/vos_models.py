"""Open what can be shown an object and follows it: trackers, and baselines that learnt nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.reference import resolve
from pocketeye.results import Result
from pocketeye.tracking.evaluation.baselines import FlowMask, StillMask
from pocketeye.tracking.video.tracker import EngineName, exported_at, load_tracker


class FollowSession(Protocol):
    """Name the part of :class:`pocketeye.tracking.Session` that an evaluation uses."""

    def add(
        self,
        object_id: int,
        *,
        frame: int | None = None,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask: Any = None,
        clear_old_points: bool = True,
    ) -> Result:
        """Show an object or correct it; its mask in that frame is in the result."""

    def run(self, start: int | None = None, stop: int | None = None) -> Iterator[Result]:
        """Yield results of all frames from ``start`` on, ``frame`` set; ``add`` may come between."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class VosModel(Protocol):
    """Open sessions."""

    def open(self, source: Any = None) -> FollowSession:
        """Open a session over what :func:`pocketeye.tracking.open_video` takes."""


# Names beside those of trackers: a table may hold both.
BASELINES = ("still", "flow")


def open_vos_model(
    name: str, checkpoint: str | Path | None = None, *, device: Device = "auto"
) -> VosModel:
    """Open a tracker or a baseline by name.

    Args:
        name: one of :func:`pocketeye.models.list_tams`, the folder of a run of ``pocketeye train
            track``, or ``still``, ``flow`` (:mod:`pocketeye.tracking.evaluation.baselines`).
        checkpoint: weights of a named tracker, as in :func:`load_tracker`.
        device: where the network runs.

    Raises:
        MissingFile: no weights, or a folder that is no run. InvalidValue: unknown.
        MissingExtra: ``flow`` without OpenCV.
    """
    if name in BASELINES:
        if checkpoint is not None:
            raise InvalidValue(f"{name} has no weights: leave {checkpoint} out")
        return StillMask() if name == "still" else FlowMask()
    resolve(name, others=BASELINES)  # an unknown name may be a misspelt baseline
    return load_tracker(name, checkpoint, device=device, engine=_engine(name))


def _engine(name: str) -> EngineName:
    """Return what a tracker is judged with: its network, so that runs and what comes along compare."""
    return "torch" if exported_at(name) is None else "auto"
