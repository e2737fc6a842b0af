"""A teacher of the tiny space, with the statistics of a short training, and its library."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch

from pocketeye.models._create import build_network
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.runs import RunFolder
from pocketeye.searching.library.config import LibraryConfig
from pocketeye.searching.library.learn import learn_library
from pocketeye.searching.library.stored import Library
from pocketeye.searching.problem import Classification
from tests.searching.toys import SPACE, config, digits

SEARCH = config(batch_size=32)
TEACHER = SPACE.architecture(("k3_e6", "k5_e3", "k3_e6", "k5_e3"), "teacher")


@lru_cache
def teacher() -> FBNet:
    """A network trained for a few steps: random weights would say the same class of every image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = cast(FBNet, build_network(TEACHER))
        optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
        for images, labels in [*Classification(digits()).loaders(SPACE, SEARCH)[0]] * 8:
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network.eval()


def learn(folder: Path, *, resume: bool = False, **changes: Any) -> Library:
    settings = LibraryConfig(
        **{"epochs": 3, "batch_size": 16, "lr": 0.01, "judge_images": 32, **changes}
    )
    run = RunFolder.open(folder, settings.to_dict(), resume=resume)
    return learn_library(
        SPACE, teacher(), Classification(digits()), settings, SEARCH, run, resume=resume
    )
