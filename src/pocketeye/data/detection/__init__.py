"""Images with boxes and outlines: COCO, Pascal VOC, YOLO."""
