"""Run `pocketeye segment`."""

from pocketeye.verbs.segment.verb import segment as segment
