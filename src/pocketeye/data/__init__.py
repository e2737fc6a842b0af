"""Read standard data layouts."""

from pocketeye.data.classification.images import ImageSet as ImageSet
from pocketeye.data.classification.images import load_images as load_images
from pocketeye.data.detection.samples import DetectionSet as DetectionSet
from pocketeye.data.detection.samples import load_detection as load_detection
from pocketeye.data.files.decode import SUFFIXES as SUFFIXES
from pocketeye.data.files.decode import UnreadableImage as UnreadableImage
from pocketeye.data.files.decode import decode as decode
from pocketeye.data.mask_sets.samples import MaskSet as MaskSet
from pocketeye.data.mask_sets.samples import load_masks as load_masks
from pocketeye.data.sample import Sample as Sample
from pocketeye.data.sample import SampleSet as SampleSet
from pocketeye.data.semantic.samples import SemanticSet as SemanticSet
from pocketeye.data.semantic.samples import load_semantic as load_semantic
from pocketeye.data.vos.layouts import load_videos as load_videos
from pocketeye.data.vos.sequences import VideoSequence as VideoSequence
from pocketeye.data.vos.sequences import VideoSet as VideoSet
