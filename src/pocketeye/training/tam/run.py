"""Train a tracker from what a user names."""

from __future__ import annotations

from pathlib import Path

from pocketeye.errors import InvalidValue
from pocketeye.tracking import open_model
from pocketeye.training.tam.distill import FeatureTeacher


def _open_teacher(name: str | None, checkpoint: Path | None) -> FeatureTeacher | None:
    if name is None:
        if checkpoint is not None:
            raise InvalidValue("--teacher-checkpoint is given without a teacher: name one")
        return None
    return FeatureTeacher(open_model(name, checkpoint=checkpoint, device="cpu"), name)
