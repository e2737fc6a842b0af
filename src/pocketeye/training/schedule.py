"""The learning rate by step of the optimiser."""

from __future__ import annotations
