"""Run `pocketeye info`."""

from pocketeye.verbs.info.verb import info as info
