"""`pocketeye export`."""

from pocketeye.verbs.export.verb import export as export
