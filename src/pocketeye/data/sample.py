"""Give samples of every data set in one form: an image and what is annotated in it.

The five kinds of sets differ in their targets only:

=================  ========================================================================
set                targets of a sample
=================  ========================================================================
``ImageSet``       ``int``: the label
``DetectionSet``   ``ImageObjects``: boxes, labels, outlines
``SemanticSet``    ``np.ndarray``: uint8 label map ``(H, W)``
``MaskSet``        ``ObjectMasks``: a mask for each object, without classes
``VideoSet``       ``VideoSequence``: frames and masks of the clip; the image is its first annotated
                   frame
=================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from PIL import Image

from pocketeye.data.files import Problems, UnreadableImage
from pocketeye.errors import InvalidValue

TRIES = 16
"""Damaged samples in a row that training passes over: more are no accident, but a broken set."""

TargetsT = TypeVar("TargetsT")
TargetsT_co = TypeVar("TargetsT_co", covariant=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample(Generic[TargetsT_co]):
    """Hold one image with its annotations.

    Attributes:
        index: number in the set it was read from.
        name: file or row it came from, as a person would call it.
        image: mode ``RGB`` (or ``L`` in a grey set), upright.
        targets: what is annotated; its type depends on the kind of set (see the module).
    """

    index: int
    name: str
    image: Image.Image
    targets: TargetsT_co


class SampleSet(Protocol[TargetsT_co]):
    """Describe samples in a fixed order, read one by one."""

    @property
    def source(self) -> str:
        """Return the set as the user named it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return names in the order of the labels; empty where objects have no class."""

    @property
    def collector(self) -> Problems:
        """Return the place to note what turns out to be wrong with a sample."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was left out and why; they grow while samples are read."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return the file or row of a sample, as a person would call it."""

    def read(self, index: int) -> Sample[TargetsT_co]:
        """Read sample ``index``; raises ``UnreadableImage`` where it is damaged."""


def first_readable(
    samples: SampleSet[TargetsT],
    index: int,
    check: Callable[[Sample[TargetsT]], None] | None = None,
) -> Sample[TargetsT]:
    """Read sample ``index``, or the first after it that can be read, so that an epoch goes on.

    For training. In judging, a damaged image is left out instead (see :func:`readable`).

    Args:
        check: raises ``UnreadableImage`` where a sample is whole but teaches nothing.

    Raises:
        InvalidValue: 16 damaged ones in a row.
    """
    # A set of few images has fewer to try.
    tries = min(TRIES, len(samples))
    for attempt in range(tries):
        at = (index + attempt) % len(samples)
        try:
            sample = samples.read(at)
            if check is not None:
                check(sample)
        except UnreadableImage as error:
            # Noted, not only passed over: the user should know what was not learnt from.
            samples.collector.found(samples.name(at), str(error))
        else:
            return sample
    raise InvalidValue(
        f"{samples.source}: {tries} damaged images in a row, the last {samples.name(at)!r}; "
        "see the log for what is wrong with each"
    )


def readable(
    samples: SampleSet[TargetsT], indices: Iterable[int] | None = None
) -> Iterator[Sample[TargetsT]]:
    """Read the samples in order (or those at ``indices``); damaged ones are noted and left out."""
    for index in range(len(samples)) if indices is None else indices:
        try:
            yield samples.read(index)
        except UnreadableImage as error:
            samples.collector.found(samples.name(index), str(error))
