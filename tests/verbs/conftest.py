"""A network small enough to be exported in a second, and one that is trained."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pocketeye.models import Architecture, BlockSpec, create_tam
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.verbs.train import train_classifier
from pocketeye.verbs.train.result import TrainResult
from tests.conftest import coarse_figures


@pytest.fixture(scope="module", autouse=True)
def _figures() -> Iterator[None]:
    """Coarse ones: their own rooms test them."""
    with coarse_figures():
        yield


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A run folder without weights: 16x16 grey images, 10 classes."""
    layers = ("conv3:1>8/1", "k3_e3:8>8/1", "k3_e3:8>16/2", "head32:16>10/1")
    stem, *blocks, head = (BlockSpec.parse(layer) for layer in layers)
    folder = tmp_path / "tiny"
    folder.mkdir()
    Architecture(name="tiny", input_size=16, stem=stem, blocks=tuple(blocks), head=head).save(
        folder / "architecture.json"
    )
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A quick training on all digits."""
    folder = tmp_path_factory.mktemp("verbs")
    text = "net@16=conv3:1>16/2|k3_e3:16>24/2|head32:24>10/1"
    Architecture.parse(text).save(folder / "architecture.json")
    return train_classifier(
        str(folder / "architecture.json"), out=folder / "run", epochs=2, batch_size=32, device="cpu"
    )


@pytest.fixture
def bundled(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of the demo's tracker where those of the package lie: drawn, not trained."""
    folder = tmp_path_factory.mktemp("bundled")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(
            create_tam(DEFAULT_TRACKER).state_dict(), folder / f"{DEFAULT_TRACKER}.safetensors"
        )
    monkeypatch.setattr("pocketeye.models.tam.published._BUNDLED", folder)
    return folder
