"""Judge whole networks of a library: fine-tuned by the teacher for some steps, then on kept-back images.

Sums of single swaps say nothing of what happens where many layers change. So the best networks by the
sum are put together, fine-tuned for a few steps with the teacher's answers, their BN recalibrated, and
ranked by what they then know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import torch
from torch import Tensor, nn

from pocketeye.devices import resolve_device
from pocketeye.models.architecture import Architecture
from pocketeye.searching.batches import Loader, placed
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.learning import schedule
from pocketeye.searching.learning.phases import tell_epoch
from pocketeye.searching.library.config import LibraryConfig
from pocketeye.searching.library.stored import Library
from pocketeye.searching.library.swaps import divergence
from pocketeye.searching.problem import Problem


class TunedSource:
    """Give networks of a library, each fine-tuned by the teacher.

    Args:
        library: where weights come from; it stays as it is.
        loader: training batches (images, ...), the same for every network.
        steps: steps for each network, 0 for none.
        lr: learning rate at the start (Adam, cosine to 0).
        seed: of what a network draws while it learns.
        device: where networks run.
    """

    def __init__(
        self, library: Library, loader: Loader, *, steps: int, lr: float, seed: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        self._library, self._loader = library, loader
        self._steps, self._lr, self._seed, self._device = steps, lr, seed, device
        self._teacher = library.supernet.subnet(
            library.space.architecture(library.space.choices(library.teacher))
        )
        self._teacher.to(device).eval().requires_grad_(False)

    def subnet(self, architecture: Architecture) -> nn.Module:
        """Make the network, fine-tuned."""
        network = self._library.supernet.subnet(architecture).to(self._device)
        if self._steps:
            with torch.random.fork_rng():
                torch.manual_seed(self._seed)
                self._tune(network)
        return network

    def _tune(self, network: nn.Module) -> None:
        network.train()
        optimiser = torch.optim.Adam(network.parameters(), lr=self._lr)
        for step, images in enumerate(islice(self._batches(), self._steps)):
            for group in optimiser.param_groups:
                group["lr"] = schedule.cosine(self._lr, step / self._steps)
            images = placed(images, self._device)
            with torch.no_grad():
                answers = self._teacher(images)
            loss = divergence(network(images), answers)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def _batches(self) -> Iterator[Tensor]:
        """Give batches for ever, an epoch after the other, the same for every network."""
        for epoch in count():
            tell_epoch(self._loader, epoch)
            for images, *_ in self._loader:
                yield images


def tuned_source(
    library: Library, config: LibraryConfig, problem: Problem, search: SearchConfig
) -> TunedSource:
    """Return networks of a library, fine-tuned on the images that taught it."""
    batches = problem.loaders(library.space, replace(search, batch_size=config.batch_size))[0]
    return TunedSource(
        library, batches, steps=config.tune_steps, lr=config.tune_lr, seed=search.seed,
        device=resolve_device(search.device),
    )  # fmt: skip
