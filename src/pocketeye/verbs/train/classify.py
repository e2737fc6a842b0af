"""Run ``pocketeye train classify``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Unpack

from pocketeye.training.classify.run import run_classifier
from pocketeye.training.engine import RunOptions, as_text
from pocketeye.verbs.train.result import TrainResult


def train_classifier(
    model: str = "fbnet_c",
    *,
    data: str = "digits",
    recipe: str | None = None,
    input_size: int | None = None,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    new_head: bool = False,
    teacher: str | None = None,
    teacher_checkpoint: Path | None = None,
    teacher_size: int | None = None,
    distill: Literal["none", "soft", "hard"] | None = None,
    **options: Unpack[RunOptions],
) -> TrainResult:
    """Train a network to tell classes of images apart.

    Args:
        model: a name from `pocketeye list`, any timm name, or an architecture.json.
        data: a folder of class folders, a folder of parquet files, a parquet file, or 'digits'.
        recipe: a recipe that comes along (casvit-official, casvit-strong, casvit-384, cifar10,
            tiny-imagenet, fbnet-imagenet, small-cpu, digits …) or a YAML file of the same keys; by
            default digits for the digits, else small-cpu.
        input_size: side of the input in pixels; by default an architecture's own, and for names the
            size of the images.
        pretrained: begin with the published weights of a named model: from their pip package, or
            fetched.
        checkpoint: begin with the weights of this file.
        new_head: leave the classifier of that file and begin it afresh, as for other classes.
        teacher: learn from this network too: a run folder, an architecture.json with
            --teacher-checkpoint, or a name (with --teacher-checkpoint, else its published weights).
        teacher_checkpoint: weights of the teacher.
        teacher_size: side in pixels of the images the teacher sees; the student's by default.
        distill: how to learn from it: soft (its probabilities) or hard (its answers).

    Raises:
        InvalidValue: unknown model, recipe or key; data that cannot be learnt from; weights or a
            teacher for other classes; a run that is already there; a loss that is not finite; a full
            disk.
        MissingFile: no data, recipe or network at a path.
        UserError: interrupted; says how to go on.
    """
    return TrainResult.of(
        run_classifier(
            model, data=data, recipe=recipe, input_size=input_size, pretrained=pretrained,
            checkpoint=checkpoint, new_head=new_head, teacher=teacher,
            teacher_checkpoint=as_text(teacher_checkpoint), teacher_size=teacher_size,
            distill=distill, options=options,
        )
    )  # fmt: skip
