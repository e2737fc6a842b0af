"""A network small enough to be exported in a second."""

from pathlib import Path

import pytest

from pocketeye.models import Architecture, BlockSpec


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A run folder without weights: 16x16 grey pictures, 10 classes."""
    layers = ("conv3:1>8/1", "k3_e3:8>8/1", "k3_e3:8>16/2", "head32:16>10/1")
    stem, *blocks, head = (BlockSpec.parse(layer) for layer in layers)
    folder = tmp_path / "tiny"
    folder.mkdir()
    Architecture(name="tiny", input_size=16, stem=stem, blocks=tuple(blocks), head=head).save(
        folder / "architecture.json"
    )
    return folder
