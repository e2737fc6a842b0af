"""Hold what every training shares: the loop, checkpoints, averages, processes, figures, reports."""

from pocketeye.training.engine.averaging import AveragedTask as AveragedTask
from pocketeye.training.engine.before import (
    require_classes as require_classes,
    require_objects as require_objects,
    warn_of_frozen as warn_of_frozen,
    warn_of_test_split as warn_of_test_split,
)
from pocketeye.training.engine.fit import TrainingPlan as TrainingPlan, fit_run as fit_run
from pocketeye.training.engine.loop import check_device as check_device
from pocketeye.training.engine.optim import create_optimizer as create_optimizer
from pocketeye.training.engine.ranges import (
    DropRate as DropRate,
    Rate as Rate,
    Share as Share,
)
from pocketeye.training.engine.recipe import Recipe as Recipe, SteppedRecipe as SteppedRecipe
from pocketeye.training.engine.reporting.figures import save_samples as save_samples
from pocketeye.training.engine.reporting.judging import (
    NUM_FOUND as NUM_FOUND,
    NUM_OBJECTS as NUM_OBJECTS,
    SURE as SURE,
    shares as shares,
)
from pocketeye.training.engine.reporting.report import (
    ReportWords as ReportWords,
    resume_command as resume_command,
    stored_recipe as stored_recipe,
    write_report as write_report,
)
from pocketeye.training.engine.reporting.result import FitResult as FitResult
from pocketeye.training.engine.run import (
    RunOptions as RunOptions,
    TrainedRun as TrainedRun,
    add_args_of as add_args_of,
    as_text as as_text,
    num_params as num_params,
    split_options as split_options,
)
from pocketeye.training.engine.schedule import (
    cosine as cosine,
    rise as rise,
    scheduled as scheduled,
    warmup_length as warmup_length,
)
