"""Run `pocketeye track`."""

from pocketeye.verbs.track.result import TrackResult as TrackResult
from pocketeye.verbs.track.verb import track as track
