"""Name the classes of networks and data sets, and tell which of them are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from timm.data import ImageNetInfo

from pocketeye.errors import InvalidValue
from pocketeye.reading import read_text, require_file

NUM_IMAGENET = 1000


def numbered(count: int) -> tuple[str, ...]:
    """Number classes that have no names."""
    return tuple(str(index) for index in range(count))


# The tables of timm have 1000 rows: they are read once.
@lru_cache(maxsize=1)
def imagenet_classes() -> tuple[str, ...]:
    """Return the 1000 classes of ImageNet-1k in words; the two cranes carry their WordNet id."""
    info = ImageNetInfo()
    words, ids = info.label_descriptions(), info.label_names()
    # Two classes are called crane: without an id one name would stand for both.
    times = Counter(words)
    return tuple(
        word if times[word] == 1 else f"{word} ({wnid})"
        for word, wnid in zip(words, ids, strict=True)
    )


@lru_cache(maxsize=1)
def _imagenet_places() -> dict[str, int]:
    """Map WordNet ids, full names and synonyms to classes; synonyms of two classes are left out."""
    info = ImageNetInfo()
    places: dict[str, int] = {}
    synonyms = [
        (word.strip().lower(), index)
        for index, words in enumerate(info.label_descriptions())
        for word in words.split(",")
    ]
    times = Counter(word for word, _ in set(synonyms))
    # first words are what data sets use, even where another class has it as a synonym
    firsts = Counter(words.partition(",")[0].strip().lower() for words in info.label_descriptions())
    # A synonym of two classes says nothing: it is left out rather than guessed.
    places.update((word, index) for word, index in synonyms if times[word] == 1)
    for index, words in enumerate(info.label_descriptions()):
        first = words.partition(",")[0].strip().lower()
        if firsts[first] == 1:
            # Exact names last, and ids after them: they win over synonyms.
            places[first] = index
    places.update((name.lower(), index) for index, name in enumerate(imagenet_classes()))
    places.update((wnid, index) for index, wnid in enumerate(info.label_names()))
    return places


def of_imagenet(classes: Sequence[str]) -> bool:
    """Tell whether all of these are classes of ImageNet-1k, by one of their names or by number."""
    known = _imagenet_places()
    return tuple(classes) == numbered(NUM_IMAGENET) or all(n.lower() in known for n in classes)


def read_classes(path: Path) -> tuple[str, ...]:
    """Read names of classes from a text file, one a line, in the order of the network's outputs.

    Raises:
        MissingFile: no such file. InvalidValue: no text, no names, or one twice.
    """
    require_file(path, f"no file of class names at {path}")
    lines = read_text(path).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        # Names are how classes are matched: twice the same could not be told apart.
        raise InvalidValue(f"{path} names no classes: one name a line is expected")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidValue(f"{path} names a class twice: {twice[0]}")
    return tuple(names)


def match_classes(data: Sequence[str], network: Sequence[str], source: str) -> np.ndarray:
    """Find the place of every class of the data among those of the network, int64.

    By name; else by number, where the data has numbers only and as many as the network has classes;
    else by what ImageNet calls them (``n02123045``, ``tabby, tabby cat`` or ``tabby``).

    Raises:
        InvalidValue: a class the network does not know.
    """
    places = {name: index for index, name in enumerate(network)}
    # Names first: a set of the network's own classes needs no guessing.
    if all(name in places for name in data):
        return np.asarray([places[name] for name in data], np.int64)
    # Numbers mean the same only where there are as many.
    if tuple(data) == numbered(len(network)):
        return np.arange(len(network))
    known = _imagenet_places()
    numbers = {known[n.lower()]: index for n, index in places.items() if n.lower() in known}
    found = [places.get(name, numbers.get(known.get(name.lower(), -1), -1)) for name in data]
    if -1 in found:
        foreign = [name for name, place in zip(data, found, strict=True) if place < 0]
        shown = ", ".join(foreign[:3]) + (" …" if len(foreign) > 3 else "")
        raise InvalidValue(
            f"{source} has {len(foreign)} classes the network was not trained on ({shown}); "
            f"it knows {len(network)}: {', '.join(network[:3])} …"
        )
    # Labels would be judged as mistakes whichever of the two is said.
    if len(set(found)) < len(found):
        raise InvalidValue(f"two classes of {source} are one class of the network")
    return np.asarray(found, np.int64)
