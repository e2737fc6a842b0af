"""Watching videos: frames from anywhere, masks of objects through time, files of the results."""

from pocketeye.tracking.frames import Frames as Frames
from pocketeye.tracking.source import open_video as open_video
