"""Run `pocketeye search`."""

from pocketeye.verbs.search.verb import search as search
