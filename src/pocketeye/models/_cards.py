"""Read what others published about a network: paper, licences, accuracies, and its costs.

The facts are the YAML files of ``cards/``, one a family. Its keys are the fields of :class:`Card`, said
once for the family or by a card of its own; ``sources`` and ``notes`` are said once in a file and named
by the rows::

    family: FBNet
    sources: {table: "the paper's main table"}
    notes: {no_bn: "without BN and biases"}
    cards:
      fbnet_a:
        summary: one sentence
        costs: [{of: weights, printed: "4.3 M", source: table, note: no_bn}]
        metrics: [{task: classification, dataset: ImageNet-1k, metric: top-1 %,
                   value: 73.0, source: table}]
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Any, get_type_hints

import yaml

_UNITS = {"": 0, "k": 3, "M": 6, "G": 9}  # powers of ten
OF = ("params", "MACs", "weights")  # "weights" is FBNet's count, without BN and biases
# Published counts differ by the form that was counted: CAS-ViT's are of two heads.
FORMS = ("", "two heads", "merged")


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """Say where the network was published first; ``arxiv`` is the number, ``1812.03443``."""

    title: str
    arxiv: str
    year: int

    def __str__(self) -> str:
        return f"{self.title}, arXiv {self.arxiv}, {self.year}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Hold a count as somebody printed it.

    Attributes:
        of: params, MACs, or weights (of convolutions and linear layers, without BN and biases).
        printed: with its digits and unit, "3.20 M" or "3,200,700": as exact as it was said.
        form: of the network: "two heads" with a distillation head, "merged" with the branches of
            training merged; as it is made by default where empty.
        at: side of the image in pixels, for MACs.
        agrees: whether counting the network here gives this number; a test holds us to either answer.
    """

    of: str
    printed: str
    source: str
    form: str = ""
    at: int | None = None
    notes: tuple[str, ...] = ()
    agrees: bool = True

    @property
    def value(self) -> Decimal:
        """The number, in ones."""
        return self._parts()[0]

    def is_said_of(self, count: int) -> bool:
        """Tell whether ``count``, rounded to the digits printed, is this number."""
        value, step = self._parts()
        return abs(count - value) <= step / 2

    def _parts(self) -> tuple[Decimal, Decimal]:
        """Return the value and the worth of its last digit."""
        # Decimal, not float: "3.20" and "3.2" are equal numbers, but not equally exact.
        digits, _, unit = self.printed.partition(" ")
        number = Decimal(digits.replace(",", ""))
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int), self.printed
        scale = Decimal(10) ** _UNITS[unit]
        step = scale * Decimal(10) ** exponent
        # Printed in full, it was meant exactly.
        return number * scale, step if step > 1 else Decimal(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """Hold a published result.

    ``metric`` names its unit, ``at`` is the input in pixels where it was said, ``weights`` the timm tag
    it belongs to.
    """

    task: str
    dataset: str
    metric: str
    value: float
    source: str
    at: str = ""
    weights: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Hold what is known of a network from elsewhere; the first of a kind in ``metrics`` counts most.

    Attributes:
        weights: where published weights are and how one gets them; nothing is fetched for a card.
        load: the option that takes them, empty where there are none.
    """

    name: str
    family: str
    summary: str
    origin: str
    code_license: str
    weights_license: str
    weights: str
    load: str
    costs: tuple[Cost, ...]
    metrics: tuple[Metric, ...]
    paper: Paper | None = None

    @property
    def top1(self) -> Metric | None:
        """Top-1 on ImageNet-1k in percent, where it was published."""
        wanted = ("ImageNet-1k", "top-1 %")
        return next((m for m in self.metrics if (m.dataset, m.metric) == wanted), None)

    def cost(self, of: str) -> Cost | None:
        """Return the count of ``of`` that agrees with the network, in its first size and form."""
        return next((c for c in self.costs if c.of == of and c.agrees), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; every cost with its number."""
        costs = [{**asdict(cost), "value": int(cost.value)} for cost in self.costs]
        return {**asdict(self), "costs": costs}


def card_for(name: str) -> Card | None:
    """Return the card of a registered name, with or without timm's tag; None where there is none."""
    return cards().get(name.partition(".")[0])


@functools.cache
def counted() -> Mapping[str, Any]:
    """What counting our networks gives, so that a list need not make them; a test counts again.

    Under ``networks`` stand by name ``params``, and ``macs`` at ``input_size``; under ``trackers``
    ``params``, those of its ``parts``, and ``image_size`` (height, width).
    """
    text = (resources.files("pocketeye.models") / "cards" / "counted.json").read_text("utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


@functools.cache
def cards() -> Mapping[str, Card]:
    """Return all cards by name."""
    found: dict[str, Card] = {}
    folder = resources.files("pocketeye.models") / "cards"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            for card in read_cards(file.read_text(encoding="utf-8"), file.name):
                # A mistake in the package itself: two files would silently hide one another.
                if card.name in found:
                    raise ValueError(f"{file.name}: {card.name} has a card already")
                found[card.name] = card
    return found


def read_cards(text: str, where: str) -> list[Card]:
    """Read the cards of a YAML file.

    Raises:
        ValueError: a mistake of ours in it; says in which file, card, row and key.
    """
    data = _mapping(yaml.safe_load(text), where)
    rows = _mapping(data.pop("cards", None), f"{where}: cards")
    named = {
        kind: _mapping(data.pop(f"{kind}s", None), f"{where}: {kind}s")
        for kind in ("source", "note")
    }
    used: set[str] = set()
    found = []
    for name, row in rows.items():
        place = f"{where}: {name}"
        # What is said once for the family holds for each of its cards that does not say otherwise.
        merged = {**data, **_mapping(row, place), "name": name}
        # No metrics is an empty list: nobody published any. Costs there must be, as all can be counted.
        for key, kind, least in (("costs", Cost, 1), ("metrics", Metric, 0)):
            merged[key] = tuple(
                _build(kind, _with_texts(_mapping(item, spot), named, used, spot), spot)
                for spot, item in _numbered(merged.get(key), f"{place}: {key}", least)
            )
        if "paper" in merged:
            spot = f"{place}: paper"
            merged["paper"] = _build(Paper, _mapping(merged["paper"], spot), spot)
        card = _build(Card, merged, place)
        _check(card, place)
        found.append(card)
    # A source or note that no row names is one that somebody forgot to cite.
    unused = {key for words in named.values() for key in words} - used
    if unused:
        raise ValueError(f"{where}: no card names {', '.join(sorted(unused))}")
    return found


def _with_texts(
    item: dict[str, Any], named: Mapping[str, Mapping[str, str]], used: set[str], where: str
) -> dict[str, Any]:
    """Return the row with the texts of its source and notes for their names."""
    for kind, words in named.items():
        keys = item.pop(kind, [])
        keys = [keys] if isinstance(keys, str) else keys
        foreign = [key for key in keys if key not in words]
        if foreign:
            raise ValueError(f"{where}: {kind} {foreign[0]!r} is none of {', '.join(words)}")
        texts = tuple(words[key] for key in keys)
        if kind == "note":
            item["notes"] = texts
        elif texts:
            item["source"] = "; ".join(texts)
        used.update(keys)
    return item


def _build(kind: Any, data: Mapping[str, Any], where: str) -> Any:
    """Make ``kind(**data)``, checked against its fields."""
    known: dict[str, Field[Any]] = {f.name: f for f in fields(kind)}
    unknown = [key for key in data if key not in known]
    missing = [n for n, f in known.items() if f.default is MISSING and n not in data]
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r} (known: {', '.join(known)})")
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} missing")
    for name, hint in get_type_hints(kind).items():
        if name in data and not _fits(data[name], hint):
            wanted = getattr(hint, "__name__", hint)
            raise ValueError(f"{where}: {name} is {data[name]!r}, it should be {wanted}")
    return kind(**data)


def _fits(value: Any, hint: Any) -> bool:
    if str(hint).startswith("tuple"):
        return True  # made row by row, each of them checked
    if isinstance(value, bool):  # bool is a subclass of int
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _check(card: Card, where: str) -> None:
    for number, cost in enumerate(card.costs):
        spot = f"{where}: costs[{number}]"
        for key, value, allowed in (("of", cost.of, OF), ("form", cost.form, FORMS)):
            if value not in allowed:
                raise ValueError(f"{spot}: {key} is {value!r}, not one of {allowed}")
        try:
            positive = cost.value > 0
        except (InvalidOperation, KeyError):
            positive = False
        if not positive:
            raise ValueError(
                f"{spot}: printed is {cost.printed!r}, not like '3.20 M' or '3,200,700'"
            )
        # MACs without a size mean nothing, and parameters do not depend on one.
        if (cost.of == "MACs") != (cost.at is not None):
            raise ValueError(f"{spot}: MACs are counted at an input size, and nothing else is")
        if not cost.agrees and not cost.notes:
            raise ValueError(f"{spot}: a number that does not agree needs a note")
    for number, metric in enumerate(card.metrics):
        if "%" in metric.metric and not 0 < metric.value < 100:
            raise ValueError(f"{where}: metrics[{number}]: {metric.value} is no percentage")


def _mapping(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: a mapping is wanted, not {data!r}")
    return dict(data)


def _numbered(data: Any, where: str, least: int) -> Iterable[tuple[str, Any]]:
    if not isinstance(data, list) or len(data) < least:
        raise ValueError(f"{where}: a list of rows is wanted, not {data!r}")
    return [(f"{where}[{number}]", item) for number, item in enumerate(data)]
