"""Find the objects to track with a detector of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pocketeye import progress
from pocketeye.errors import InvalidValue, require_range, unknown
from pocketeye.jobs.job import Detection
from pocketeye.models.task import DENSE
from pocketeye.results import Result

if TYPE_CHECKING:
    import numpy as np

    from pocketeye.devices import Device

_SCORE = 0.3  # as ``pocketeye predict`` has it


def open_detection(
    detector: str | None,
    classes: Sequence[str],
    score: float | None,
    frame: int,
    device: Device,
) -> Detection | None:
    """Open the detector that is to find the objects, if there is one.

    Raises:
        InvalidValue: options of a detector without one, or classes that it does not know.
    """
    if detector is None:
        for option, value in (("--classes", classes or None), ("--score-threshold", score)):
            if value is not None:
                raise InvalidValue(f"{option} belongs to a detector: name one with --detect")
        return None
    # Only for those who have a detector: an exported tracker alone starts without torch.
    from pocketeye.models.reference import expect
    from pocketeye.predicting.dense import open_dense_predictor

    least = _SCORE if score is None else score
    require_range("--score-threshold", least, 0, 1)
    finding = [task for task in DENSE if task.finds_objects]
    # Only those that find objects: pixels of a class have no boxes to begin with.
    expect(detector, "pocketeye track --detect", finding)
    with progress.task(f"loading {detector}"):
        predictor = open_dense_predictor(detector, device=device)
    known = predictor.description.classes
    # Commas and repetitions both, as people write lists.
    wanted = [part.strip() for text in classes for part in text.split(",") if part.strip()]
    for name in wanted:
        if name not in known:
            raise unknown(f"class of {detector}", name, known)

    def find(frame: np.ndarray) -> Result:
        found = predictor.predict([frame])[0]
        assert isinstance(found, Result)  # label maps come from segmenters
        found = found.above(least)
        labels = found.labels or ()
        return found.only([i for i, label in enumerate(labels) if not wanted or label in wanted])

    said = f"{' or '.join(wanted) or 'object'} of a score from {least:g}"
    return Detection(find=find, frame=frame, said=said)
