"""Train a tracker into a run folder that tracks, and can be continued."""

from __future__ import annotations

from pocketeye.data.clips import ClipSource
from pocketeye.data.loaders.clips import make_clip_loader
from pocketeye.errors import InvalidValue
from pocketeye.models.tam import TAM
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import SEGMENT_ANYTHING, TRACK, Task
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.engine import FitResult, TrainingPlan, fit_run
from pocketeye.training.tam.distill import FeatureTeacher
from pocketeye.training.tam.figures import SaveStrip
from pocketeye.training.tam.recipe import TamRecipe, samples_per_epoch
from pocketeye.training.tam.report import write_tracker_report
from pocketeye.training.tam.segment_anything import SegmentAnythingTask
from pocketeye.training.tam.task import TamTraining
from pocketeye.training.tam.track import TrackTask

_TASKS: dict[Task, type[TamTraining]] = {
    SEGMENT_ANYTHING: SegmentAnythingTask,
    TRACK: TrackTask,
}


def fit_tracker(
    model: TAM,
    train: ClipSource,
    val: ClipSource,
    config: TamRecipe,
    run: RunFolder,
    resume: bool = False,
    *,
    description: TrackerDescription,
    teacher: FeatureTeacher | None = None,
) -> FitResult:
    """Train ``model`` and leave it with its best weights.

    Besides the files of :func:`~pocketeye.training.engine.fit.fit_run` it writes ``model.json`` and,
    after every epoch, ``validation.png``.

    Args:
        train: as many samples as :func:`samples_per_epoch`, of the network's size; batches of one
            length.
        val: clips of one length.
        resume: go on from ``last.ckpt``; the result is bit for bit that of one go (on a CPU).
        teacher: a tracker whose features the image encoder learns too.

    Raises:
        InvalidValue: a source of another length, a loss that is not finite, no room.
        UserError: interrupted; says how to go on.
    """
    plan = tracker_plan(model, train, val, config, run, description, teacher)
    return fit_run(model, plan, run, resume)


def tracker_plan(
    model: TAM,
    train: ClipSource,
    val: ClipSource,
    config: TamRecipe,
    run: RunFolder,
    description: TrackerDescription,
    teacher: FeatureTeacher | None = None,
) -> TrainingPlan:
    """Return what :func:`fit_tracker` trains with; ``run`` need not be open yet.

    Raises:
        InvalidValue: a network or a teacher that does not fit.
    """
    assert len(train) == samples_per_epoch(config), "the source is made for this recipe"
    return TrainingPlan(
        title=f"{description.variant} on {description.data}, {require_square(model)} px",
        task=_TASKS[config.record](model, config, teacher),
        loaders=(
            make_clip_loader(train, config.batch_size, training=True, workers=config.workers),
            make_clip_loader(val, config.batch_size, training=False, workers=config.workers),
        ),
        describe=lambda folder: description.save(folder.path),
        report=write_tracker_report,
        recipe=config,
        drawings=(ANSWERS,),
        callbacks=[SaveStrip(run)],
        # Which prompts a batch has is drawn, and with it which weights have a gradient.
        all_used=False,
        progress=f"training {description.variant}",
    )


def require_square(model: TAM) -> int:
    """Return the side of the network's image.

    Raises:
        InvalidValue: it is no square.
    """
    height, width = model.image_size
    if height != width:
        raise InvalidValue(
            f"trackers are trained on squares, to which images are stretched, not on {height}x{width}"
        )
    return height
