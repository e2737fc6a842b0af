"""Read images with boxes and outlines: COCO, Pascal VOC, YOLO."""

from pocketeye.data.detection.samples import (
    DetectionSet as DetectionSet,
    ImageObjects as ImageObjects,
    load_detection as load_detection,
)
