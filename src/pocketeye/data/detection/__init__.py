"""Read images with boxes and outlines: COCO, Pascal VOC, YOLO."""

from pocketeye.data.detection.layouts import (
    detection_layout as detection_layout,
    detection_splits as detection_splits,
)
from pocketeye.data.detection.samples import (
    DetectionSet as DetectionSet,
    ImageObjects as ImageObjects,
    load_detection as load_detection,
)
