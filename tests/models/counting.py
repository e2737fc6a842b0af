"""Counts of whole networks, each made once in a process as several tests compare them with theirs."""

from __future__ import annotations

import functools

import torch
from timm.utils.model import reparameterize_model

from pocketeye import models


@functools.cache
def counts_of(name: str, size: int, form: str = "") -> models.Counts:
    """Count a network at an input of so many pixels; ``form`` as cards call it."""
    with torch.device("meta"):
        module = models.create_model(name, **({"distilled": True} if form == "two heads" else {}))
    if form == "merged":
        module = reparameterize_model(module.to_empty(device="cpu"))
    return models.count(module, (3, size, size))
