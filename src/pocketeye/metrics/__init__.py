"""Compute the numbers that say how good predictions are."""

from pocketeye.metrics.classification import ClassReport as ClassReport
from pocketeye.metrics.classification import ClassRow as ClassRow
from pocketeye.metrics.classification import ConfidenceBin as ConfidenceBin
from pocketeye.metrics.classification import Confusion as Confusion
from pocketeye.metrics.classification import ConfusionTable as ConfusionTable
from pocketeye.metrics.classification import Tally as Tally
from pocketeye.metrics.classification import classification_report as classification_report
from pocketeye.metrics.classification import wilson_interval as wilson_interval
from pocketeye.metrics.clicks import error_click as error_click
from pocketeye.metrics.vos import boundary_accuracy as boundary_accuracy
from pocketeye.metrics.vos import region_similarity as region_similarity
