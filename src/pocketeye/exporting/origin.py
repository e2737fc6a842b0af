"""Note what an artefact was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from pocketeye import provenance
from pocketeye.runs import ORIGIN, write_json


def save_origin(
    folder: Path, name: str, network: nn.Module, *, trained: bool, fused: bool, **facts: Any
) -> Path:
    """Write ``export.json``: the network, its parameters, when and with which code it was exported.

    Args:
        name: of the network.
        fused: what exactly could be folded and re-parameterised was.
        facts: what else is to be kept of this kind of network.
    """
    origin = {
        "name": name,
        "trained": trained,
        "fused": fused,
        # Of the network as it is known, not of its fused form: papers count so.
        "params": sum(p.numel() for p in network.parameters()),
        **facts,
        "created": provenance.now(),
        "git": provenance.git_hash(),
    }
    return write_json(folder / ORIGIN, origin)
