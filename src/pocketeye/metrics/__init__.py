"""Compute the numbers that say how good predictions are."""

from pocketeye.metrics.classification import (
    ClassReport as ClassReport,
    ClassRow as ClassRow,
    ConfidenceBin as ConfidenceBin,
    Confusion as Confusion,
    ConfusionTable as ConfusionTable,
    Tally as Tally,
    classification_report as classification_report,
    softmax as softmax,
    wilson_interval as wilson_interval,
)
from pocketeye.metrics.clicks import error_click as error_click
from pocketeye.metrics.detection import (
    IOUS as IOUS,
    RECALLS as RECALLS,
    ApReport as ApReport,
    CocoAP as CocoAP,
    coco_ap as coco_ap,
)
from pocketeye.metrics.matching import (
    MatchReport as MatchReport,
    Mistakes as Mistakes,
    match as match,
    match_report as match_report,
    with_background as with_background,
)
from pocketeye.metrics.objects import (
    NOTHING as NOTHING,
    FoundObjects as FoundObjects,
    TrueObjects as TrueObjects,
    found_objects as found_objects,
    known as known,
    true_objects as true_objects,
)
from pocketeye.metrics.semantic import MeanIoU as MeanIoU
from pocketeye.metrics.voc import VocReport as VocReport, voc_ap as voc_ap
from pocketeye.metrics.vos import (
    boundary_accuracy as boundary_accuracy,
    region_similarity as region_similarity,
)
