"""Teach every candidate of every layer alone to do what a teacher does there, and measure its cost.

Block-wise distillation of DNA (arXiv 1911.13053), DONNA (arXiv 2012.08859) and LANA (arXiv
2107.10624): all candidates learn in parallel from one forward pass of the teacher, and what a single
swap costs is measured.
"""
