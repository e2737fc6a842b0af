"""Watching videos: frames from anywhere, masks of objects through time, files of the results."""

from pocketeye.data.video.frames import Frames as Frames
from pocketeye.tracking.components import fill_holes as fill_holes
from pocketeye.tracking.components import remove_specks as remove_specks
from pocketeye.tracking.evaluate_vos import VosPlan as VosPlan
from pocketeye.tracking.evaluate_vos import evaluate_folder as evaluate_folder
from pocketeye.tracking.evaluate_vos import evaluate_vos as evaluate_vos
from pocketeye.tracking.everything import MaskGenerator as MaskGenerator
from pocketeye.tracking.followers import open_follower as open_follower
from pocketeye.tracking.image import ImageSegmenter as ImageSegmenter
from pocketeye.tracking.image import Segmentation as Segmentation
from pocketeye.tracking.open_model import open_model as open_model
from pocketeye.tracking.options import Options as Options
from pocketeye.tracking.session import Session as Session
from pocketeye.tracking.source import open_video as open_video
from pocketeye.tracking.tracked import TrackedFrame as TrackedFrame
from pocketeye.tracking.tracker import Tracker as Tracker
from pocketeye.tracking.tracker import load_tracker as load_tracker
from pocketeye.tracking.vos_report import save_vos as save_vos
from pocketeye.tracking.write import open_writer as open_writer
from pocketeye.tracking.write import write_all as write_all
