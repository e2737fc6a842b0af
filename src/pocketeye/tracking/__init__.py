"""Watch videos: frames from anywhere, masks of objects through time, files of the results."""

from pocketeye.data.video.frames import Frames as Frames
from pocketeye.tracking.evaluation.evaluate import (
    VosPlan as VosPlan,
    evaluate_folder as evaluate_folder,
    evaluate_vos as evaluate_vos,
)
from pocketeye.tracking.evaluation.report import save_vos as save_vos
from pocketeye.tracking.evaluation.vos_models import open_vos_model as open_vos_model
from pocketeye.tracking.image.components import (
    fill_holes as fill_holes,
    remove_specks as remove_specks,
)
from pocketeye.tracking.image.everything import MaskGenerator as MaskGenerator
from pocketeye.tracking.image.segmenter import (
    ImageSegmenter as ImageSegmenter,
    Segmentation as Segmentation,
)
from pocketeye.tracking.io.source import open_video as open_video
from pocketeye.tracking.io.write import open_writer as open_writer, write_all as write_all
from pocketeye.tracking.linking import link_boxes as link_boxes
from pocketeye.tracking.open_model import open_model as open_model
from pocketeye.tracking.video.options import Options as Options
from pocketeye.tracking.video.session import Session as Session
from pocketeye.tracking.video.tracked import TrackedFrame as TrackedFrame
from pocketeye.tracking.video.tracker import Tracker as Tracker, load_tracker as load_tracker
