"""Run `pocketeye search`."""

from pocketeye.verbs.search.result import SearchResult as SearchResult
from pocketeye.verbs.search.verb import search as search
