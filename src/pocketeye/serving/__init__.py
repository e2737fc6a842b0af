"""Serve pages from this machine: who may ask, in bounded size and time. Needs the extra ``web``."""
