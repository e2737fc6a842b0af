"""Run ``pocketeye train track``."""

from __future__ import annotations

from typing import Unpack

from pocketeye.models.task import TRACK
from pocketeye.training.tam.run import TamOptions, run_tracker
from pocketeye.verbs.train.result import TrainResult


def train_tracker(
    model: str = "pocketeye_tam_nano",
    *,
    data: str,
    recipe: str = "track-small",
    synthetic_share: float | None = None,
    **options: Unpack[TamOptions],
) -> TrainResult:
    """Train a tracker: a mask in every frame of a video for what is clicked.

    Args:
        model: a tracker's name from `pocketeye list`.
        data: folders of videos (DAVIS, YouTube-VOS, MOSE, SA-V) and of images with masks,
            with commas between.
        recipe: track-small, track-small-256 or track-sav, or a YAML file of the same keys.
        synthetic_share: share of the clips that are made of cut-outs, 0 to 1.

    Raises:
        InvalidValue: unknown tracker, recipe or key; data or weights that do not fit; a run that is
            already there; a loss that is not finite; a full disk.
        MissingFile: no data, recipe or network at a path.
        UserError: interrupted; says how to go on.
    """
    run = run_tracker(
        TRACK, model, data=data, recipe=recipe, synthetic_share=synthetic_share, options=options
    )
    return TrainResult.of(run)
