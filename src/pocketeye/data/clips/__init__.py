"""Short clips to train trackers on: cut from videos, moved images, made of cut-outs."""

from pocketeye.data.clips.clips import (
    ClipBatch as ClipBatch,
    ClipSource as ClipSource,
    MixedClips as MixedClips,
)
from pocketeye.data.clips.geometry import Geometry as Geometry
from pocketeye.data.clips.images import ImageClips as ImageClips
from pocketeye.data.clips.light import Colours as Colours
from pocketeye.data.clips.overlaid import OverlaidClips as OverlaidClips
from pocketeye.data.clips.synthetic import SyntheticClips as SyntheticClips
from pocketeye.data.clips.videos import (
    VideoClips as VideoClips,
    VideoFrames as VideoFrames,
    VideoSampling as VideoSampling,
)
