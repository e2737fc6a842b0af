"""Run `pocketeye predict`."""

from pocketeye.verbs.predict.verb import predict as predict
