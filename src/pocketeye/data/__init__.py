"""Read standard data layouts."""

from pocketeye.data.classification.images import ImageSet as ImageSet, load_images as load_images
from pocketeye.data.detection.samples import (
    DetectionSet as DetectionSet,
    load_detection as load_detection,
)
from pocketeye.data.files import (
    SUFFIXES as SUFFIXES,
    UnreadableImage as UnreadableImage,
    decode as decode,
)
from pocketeye.data.mask_sets.samples import MaskSet as MaskSet, load_masks as load_masks
from pocketeye.data.sample import Sample as Sample, SampleSet as SampleSet
from pocketeye.data.semantic.samples import (
    SemanticSet as SemanticSet,
    load_semantic as load_semantic,
)
from pocketeye.data.vos.layouts import load_videos as load_videos
from pocketeye.data.vos.sequences import VideoSequence as VideoSequence, VideoSet as VideoSet
