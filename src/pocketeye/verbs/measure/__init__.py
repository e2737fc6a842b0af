"""Run `pocketeye measure`."""

from pocketeye.verbs.measure.verb import measure as measure
