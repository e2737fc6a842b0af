"""Make the plan of a library from what the user asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue
from pocketeye.models.task import Task
from pocketeye.searching.library.config import LibraryConfig
from pocketeye.searching.library.plan import LIBRARIES, LibraryPlan, with_teacher
from pocketeye.searching.problem import side
from pocketeye.searching.tasks import (
    ClassifierRetraining,
    SearchInputs,
    SearchRequest,
    machine_of,
)
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.run import usual_recipe


@dataclass(frozen=True, kw_only=True)
class LibraryRequest:
    """Hold what the user asked for; None leaves the default.

    Attributes:
        teacher: a run that teaches.
        teacher_epochs: of the training of a teacher of ours.
        folder: of this library.
        epochs: in which candidates learn.
        distill: let the final training learn from the teacher too.
    """

    teacher: str | None = None
    teacher_epochs: int | None = None
    folder: Path | None = None
    epochs: int | None = None
    distill: bool = True

    def refuse_elsewhere(self, mode: str) -> None:
        """Raise InvalidValue where something was asked for that only mode ``library`` has."""
        named = {"--teacher": self.teacher, "--teacher-epochs": self.teacher_epochs,
                 "--library": self.folder, "--library-epochs": self.epochs}  # fmt: skip
        given = [option for option, value in named.items() if value is not None]
        if given and mode != "library":
            raise InvalidValue(f"{given[0]} is of --mode library: add that, or leave it out")


def open_library(
    request: LibraryRequest, asked: SearchRequest, opened: SearchInputs, task: Task, parent: Path
) -> tuple[LibraryPlan, SearchInputs]:
    """Return the plan, and the inputs with a final training that fits it.

    Args:
        parent: folder beside whose runs libraries are kept.

    Raises:
        InvalidValue: a search of segmenters, or a teacher with a second source of epochs.
    """
    if task.labels_pixels or not isinstance(opened.train, ImageSet):
        raise InvalidValue(
            "--mode library teaches classifiers, and this table is of segmenters: use --mode fast"
        )
    assert isinstance(opened.val, ImageSet)
    if request.teacher is not None and request.teacher_epochs is not None:
        raise InvalidValue("--teacher is trained already: leave out --teacher-epochs")
    changes: dict[str, Any] = {} if request.epochs is None else {"epochs": request.epochs}
    plan = LibraryPlan(
        folder=parent / LIBRARIES,
        config=LibraryConfig(batch_size=asked.config.batch_size, **changes),
        named=request.folder,
        given=request.teacher,
        recipe=ClassifyRecipe.load(
            asked.recipe or usual_recipe(asked.data), epochs=request.teacher_epochs,
            input_size=side(asked.space), **machine_of(asked.config),
        ),
        train=opened.train,
        val=opened.val,
    )  # fmt: skip
    decisive = {**opened.decisive, "library": plan.config.to_dict(), "teacher": request.teacher}
    retraining = opened.retraining
    if isinstance(retraining, ClassifierRetraining) and request.distill:
        teacher = request.teacher or str(plan.teacher_folder(asked.space, asked.config))
        retraining = replace(retraining, recipe=with_teacher(retraining.recipe, teacher))
    return plan, replace(opened, retraining=retraining, decisive=decisive)
