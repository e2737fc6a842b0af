"""Cards: complete, well formed, and of the networks they speak of."""

import runpy
from pathlib import Path

import pytest
import torch

from pocketeye import models
from pocketeye.models import Cost, _cards, card_for, cards
from pocketeye.models.tam.checkpoints import PUBLISHED
from tests.models.counting import counts_of

ROOT = Path(__file__).parents[2]
CARDS = cards()
OWN = models.list_models()
TRACKERS = models.list_tams()


def counted(name: str, form: str, size: int) -> models.Counts:
    if name not in TRACKERS:
        return counts_of(name, size, form)
    with torch.device("meta"):
        params = sum(p.numel() for p in models.create_tam(name).parameters())
    return models.Counts(macs=0, params=params, weights=0)


def test_every_network_of_ours_has_a_card_and_a_paper() -> None:
    assert set(OWN) <= set(CARDS)
    for name in OWN:
        card = CARDS[name]
        assert card.paper is not None
        assert card.top1 is not None
        assert card.cost("params") is not None
        assert card.cost("MACs") is not None


def test_peers_have_cards() -> None:
    peers = set(CARDS) - set(OWN) - set(TRACKERS)
    assert len(peers) == 12
    assert peers <= set(models.list_models(include_timm=True))
    assert all(CARDS[name].top1 for name in peers)


def test_every_tracker_has_a_card() -> None:
    assert set(TRACKERS) <= set(CARDS)
    for name in TRACKERS:
        card = CARDS[name]
        assert card.cost("params").source == "counted here"
        assert (card.paper is not None) == (name in PUBLISHED)
        assert card.top1 is None


def test_published_results_of_trackers() -> None:
    """J&F on SA-V test, by the paper's tables 1, 4 and 5; its S/2 is equation 5, our ``_1``."""
    results = {
        name: next((m.value for m in CARDS[name].metrics if m.dataset == "SA-V test"), None)
        for name in TRACKERS
        if name in PUBLISHED
    }
    assert results == {
        "efficienttam_s": 74.5, "efficienttam_s_1": 74.0, "efficienttam_s_2": 73.9,
        "efficienttam_s_512x512": 71.5, "efficienttam_ti": 70.7, "efficienttam_ti_1": 70.8,
        "efficienttam_ti_2": None, "efficienttam_ti_512x512": None,
    }  # fmt: skip
    for name in ("efficienttam_s_1", "efficienttam_ti_1"):
        assert all("equation 5" in m.notes[0] for m in CARDS[name].metrics)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_costs_are_those_of_the_network_or_marked(name: str) -> None:
    for cost in CARDS[name].costs:
        counts = counted(name, cost.form, cost.at or (96 if "96" in name else 224))
        here = {"params": counts.params, "MACs": counts.macs, "weights": counts.weights}[cost.of]
        assert cost.is_said_of(here) is cost.agrees, (cost, here)


@pytest.mark.parametrize("name", OWN)
def test_our_own_counts_are_exact(name: str) -> None:
    for of in ("params", "MACs"):
        cost = CARDS[name].cost(of)
        assert cost.source == "counted here"
        assert "," in cost.printed, "digits, not a rounded number"


def test_names() -> None:
    assert card_for("mobilenetv4_conv_small.e1200_r224_in1k") is CARDS["mobilenetv4_conv_small"]
    assert card_for("fbnet_c") is CARDS["fbnet_c"]
    assert card_for("resnet50") is None


def test_contradictions_are_carried() -> None:
    first, second, old = CARDS["casvit_m"].metrics[:3]
    assert (first.value, second.value, old.value) == (82.8, 83.0, 81.4)
    assert "two official files" in first.notes[0]
    phones = [m for card in CARDS.values() for m in card.metrics if m.task == "latency"]
    assert phones
    assert all(m.notes for m in phones), "a published latency never stands alone"


@pytest.mark.parametrize(
    ("printed", "exact", "near", "wrong"),
    [
        ("3.20 M", 3_200_000, 3_204_999, 3_206_000),
        ("2,979,700", 2_979_700, 2_979_700, 2_979_701),
        ("249.921848 M", 249_921_848, 249_921_848, 249_921_849),
        ("1.5 G", 1_500_000_000, 1_549_000_000, 1_551_000_000),
    ],
)
def test_a_printed_number_is_as_exact_as_it_looks(printed, exact, near, wrong) -> None:
    cost = Cost(of="params", printed=printed, source="")
    assert cost.value == exact
    assert cost.is_said_of(exact)
    assert cost.is_said_of(near)
    assert not cost.is_said_of(wrong)


GOOD = """
family: F
origin: o
code_license: c
weights_license: w
weights: none
load: ""
sources: {here: a place}
notes: {odd: an oddity}
cards:
  net:
    summary: a network
    costs: [{of: params, printed: "3.20 M", source: here, note: odd}]
    metrics: [{task: t, dataset: d, metric: top-1 %, value: 70.5, source: here}]
"""


def test_nothing_published_is_said_by_an_empty_list() -> None:
    start = GOOD.index("    metrics:")
    (card,) = _cards.read_cards(GOOD[:start] + "    metrics: []\n", "x.yaml")
    assert card.metrics == ()
    with pytest.raises(ValueError, match=r"net: metrics: .*list .*None"):
        _cards.read_cards(GOOD[:start], "x.yaml")
    start = GOOD.index("    costs:")
    with pytest.raises(ValueError, match=r"net: costs: .*list .*\[\]"):
        _cards.read_cards(GOOD[:start] + "    costs: []\n    metrics: []\n", "x.yaml")


def test_a_good_file_is_read() -> None:
    (card,) = _cards.read_cards(GOOD, "x.yaml")
    assert card.costs[0].source == "a place"
    assert card.costs[0].notes == ("an oddity",)
    assert card.paper is None


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("value: 70.5", "valeu: 70.5", r"net: metrics\[0\]: unknown key 'valeu' \(known: task"),
        ("value: 70.5, ", "", r"net: metrics\[0\]: value missing"),
        ("value: 70.5", "value: high", r"metrics\[0\]: value is 'high', it should be float"),
        ("value: 70.5", "value: 705.0", r"metrics\[0\]: 705.0 is no percentage"),
        ("source: here, note", "source: there, note", r"costs\[0\]: source 'there' is none of here"),
        (", note: odd", "", r"no card names odd"),
        ("3.20 M", "3.20 Mio", r"costs\[0\]: printed is '3.20 Mio', not like"),
        ("of: params", "of: MACs", r"costs\[0\]: MACs are counted at an input size"),
        ("of: params", "of: params, form: big", r"costs\[0\]: form is 'big', not one of"),
        ("of: params", "of: flops", r"costs\[0\]: of is 'flops', not one of"),
        (", note: odd", ", agrees: false", r"needs a note"),
        ("    summary: a network\n", "", r"x.yaml: net: summary missing"),
        ("load: \"\"", "load: 1", r"net: load is 1, it should be str"),
        ("family: F", "family: F\npaper: {title: t, arxiv: 1, year: 2}", r"paper: arxiv is 1"),
    ],
)  # fmt: skip
def test_our_mistakes_are_named(before: str, after: str, sentence: str) -> None:
    assert before in GOOD
    with pytest.raises(ValueError, match=sentence):
        _cards.read_cards(GOOD.replace(before, after), "x.yaml")


def test_the_document_shows_the_cards() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "fill_cards.py"))
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    block = script["block"]()
    assert all(f"`{name}`" in block for name in CARDS)
    assert script["filled"](text) == text, "run benchmarks/fill_cards.py"
