"""Compute the numbers that say how good predictions are."""

from pocketeye.metrics.classification import (
    ClassReport as ClassReport,
    ClassRow as ClassRow,
    ConfidenceBin as ConfidenceBin,
    Confusion as Confusion,
    ConfusionTable as ConfusionTable,
    Tally as Tally,
    classification_report as classification_report,
    wilson_interval as wilson_interval,
)
from pocketeye.metrics.clicks import error_click as error_click
from pocketeye.metrics.vos import (
    boundary_accuracy as boundary_accuracy,
    region_similarity as region_similarity,
)
