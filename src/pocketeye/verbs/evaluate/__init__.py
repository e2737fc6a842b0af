"""Run `pocketeye eval`."""

from pocketeye.verbs.evaluate.verb import evaluate as evaluate
