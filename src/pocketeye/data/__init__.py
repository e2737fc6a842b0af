"""Read standard data layouts."""

from pocketeye.data.classification.images import (
    BLOOD_CELLS as BLOOD_CELLS,
    DIGITS as DIGITS,
    EMBEDDED as EMBEDDED,
    ImageSet as ImageSet,
    load_images as load_images,
)
from pocketeye.data.detection.samples import (
    DetectionSet as DetectionSet,
    ImageObjects as ImageObjects,
    load_detection as load_detection,
)
from pocketeye.data.files import (
    SPLITS as SPLITS,
    STANDS_IN as STANDS_IN,
    SUFFIXES as SUFFIXES,
    Problems as Problems,
    UnreadableImage as UnreadableImage,
    decode as decode,
    hold_out as hold_out,
    read_pixels as read_pixels,
    to_mode as to_mode,
)
from pocketeye.data.mask_sets.samples import (
    MaskedImages as MaskedImages,
    MaskSet as MaskSet,
    ObjectMasks as ObjectMasks,
    load_masks as load_masks,
    split_layout as split_layout,
)
from pocketeye.data.sample import (
    Sample as Sample,
    SampleSet as SampleSet,
    first_readable as first_readable,
    readable as readable,
)
from pocketeye.data.semantic.class_maps import IGNORE as IGNORE
from pocketeye.data.semantic.known import load_maps as load_maps
from pocketeye.data.semantic.samples import (
    SemanticSet as SemanticSet,
    load_semantic as load_semantic,
    require_a_class as require_a_class,
)
from pocketeye.data.vos.layouts import load_videos as load_videos
from pocketeye.data.vos.sequences import VideoSequence as VideoSequence, VideoSet as VideoSet
