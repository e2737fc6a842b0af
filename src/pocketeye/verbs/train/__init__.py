"""`pocketeye train`."""

from pocketeye.verbs.train.verb import train as train
