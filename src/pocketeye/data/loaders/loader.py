"""Load for all trainings: quiet with the global generator, loud about damaged samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, default_collate

from pocketeye.data.files import Note, deliver, post_problems, take_posted


class SampleLoader(DataLoader[Any]):
    """Load batches and bring home what the processes find wrong with the data.

    It has a generator of its own, so that starting an epoch draws nothing from the global one.
    """

    def __init__(self, dataset: Any, *, num_workers: int = 0, **options: Any) -> None:
        collate = options.pop("collate_fn", None) or default_collate
        if num_workers and not isinstance(collate, _WithNotes):
            collate = _WithNotes(collate)
        super().__init__(
            dataset, num_workers=num_workers, collate_fn=collate,
            **{"worker_init_fn": _start, "generator": torch.Generator(), **options},
        )  # fmt: skip

    def __iter__(self) -> Any:
        batches = super().__iter__()
        return _delivered(batches) if self.num_workers else batches

    def __getstate__(self) -> dict[str, Any]:
        # A pickled generator's state is a passing tensor, whose file descriptor is closed before a
        # spawned process can take it over.
        return {**self.__dict__, "generator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, generator=torch.Generator())


class _Delivery(NamedTuple):
    """Hold a batch, and what was found wrong with the data since the last one of that process."""

    batch: Any
    notes: tuple[Note, ...]


class _WithNotes:
    """Collate a batch and send the notes of its process along."""

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self.collate = collate

    def __call__(self, rows: Any) -> _Delivery:
        return _Delivery(self.collate(rows), take_posted())


def _delivered(batches: Iterable[_Delivery]) -> Iterator[Any]:
    for batch, notes in batches:
        deliver(Note(*note) for note in notes)  # pinning memory makes lists of tuples
        yield batch


def _start(worker: int) -> None:
    post_problems()
