"""Train a network: classify, detect, instance, semantic, segment-anything or track."""

from pocketeye.verbs.train.classify import train_classifier as train_classifier
from pocketeye.verbs.train.detect import train_detector as train_detector
from pocketeye.verbs.train.instance import train_instance_segmenter as train_instance_segmenter
from pocketeye.verbs.train.segment_anything import train_segment_anything as train_segment_anything
from pocketeye.verbs.train.semantic import train_segmenter as train_segmenter
from pocketeye.verbs.train.track import train_tracker as train_tracker
