"""Tests of jobs over many videos."""
