"""Read images with boxes and outlines: COCO, Pascal VOC, YOLO."""

from pocketeye.data.detection.samples import DetectionSet as DetectionSet
from pocketeye.data.detection.samples import ImageObjects as ImageObjects
from pocketeye.data.detection.samples import load_detection as load_detection
