"""`pocketeye bench`."""

from pocketeye.verbs.bench.verb import bench as bench
