"""Run `pocketeye demo`."""

from pocketeye.verbs.demo.verb import demo as demo
