"""Readers of standard data layouts."""

from pocketeye.data._decode import SUFFIXES as SUFFIXES
from pocketeye.data._decode import UnreadableImage as UnreadableImage
from pocketeye.data._decode import decode as decode
from pocketeye.data.classification import DAMAGED as DAMAGED
from pocketeye.data.classification import ImageSet as ImageSet
from pocketeye.data.classification import load_images as load_images
from pocketeye.data.detection import DetectionSet as DetectionSet
from pocketeye.data.detection import load_detection as load_detection
from pocketeye.data.semantic import SemanticSet as SemanticSet
from pocketeye.data.semantic import load_semantic as load_semantic
from pocketeye.data.vos import VideoSequence as VideoSequence
from pocketeye.data.vos import VideoSet as VideoSet
from pocketeye.data.vos import load_videos as load_videos
