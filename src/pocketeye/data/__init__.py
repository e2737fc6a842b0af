"""Readers of standard data layouts."""

from pocketeye.data.classification.images import DAMAGED as DAMAGED
from pocketeye.data.classification.images import ImageSet as ImageSet
from pocketeye.data.classification.images import load_images as load_images
from pocketeye.data.detection.samples import DetectionSet as DetectionSet
from pocketeye.data.detection.samples import load_detection as load_detection
from pocketeye.data.files.decode import SUFFIXES as SUFFIXES
from pocketeye.data.files.decode import UnreadableImage as UnreadableImage
from pocketeye.data.files.decode import decode as decode
from pocketeye.data.semantic.samples import SemanticSet as SemanticSet
from pocketeye.data.semantic.samples import load_semantic as load_semantic
from pocketeye.data.vos.layouts import load_videos as load_videos
from pocketeye.data.vos.sequences import VideoSequence as VideoSequence
from pocketeye.data.vos.sequences import VideoSet as VideoSet
