"""A hub gives jobs to a page, believes only what can be true, and survives a page that goes away."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketeye.errors import InvalidValue, UserError
from pocketeye.reading import BadField
from pocketeye.runtimes.base import Artifact, TensorSpec
from pocketeye.runtimes.browser import hub as module
from pocketeye.runtimes.browser.hub import Hub
from pocketeye.runtimes.browser.messages import Facts, Job
from tests.runtimes.browser.fake_page import FACTS, honest, page


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    made = Hub(patience_s=5)
    (tmp_path / "model.onnx").write_bytes(b"graph")
    spec = TensorSpec(name="image", shape=(1, 2))
    made.add(
        Artifact(
            folder=tmp_path, file="model.onnx", runtime="browser", precision="fp32",
            inputs=(spec,), outputs=(spec,),
        )
    )  # fmt: skip
    return made


def job(hub: Hub, kind: str = "time", **more: Any) -> Job:
    visits = ((0, 3, 2),) if kind != "run" else ()
    return Job(
        number=hub.next_job(), kind=kind, backend="wasm", threads=1, graphs=(0,), visits=visits,
        **more,
    )  # fmt: skip


def test_jobs_are_answered(hub: Hub) -> None:
    with page(hub) as jobs:
        assert hub.ask(job(hub)) == [[1e-4, 1e-4]]
        assert hub.ask(job(hub, "calibrate")) == [2]
        spec = TensorSpec(name="logits", shape=(1, 2))
        (found,) = hub.ask(job(hub, "run", arrays=(np.zeros(2, np.float32),), outputs=(spec,)))
        assert found.tolist() == [[1.0, 1.0]]
    assert [one["kind"] for one in jobs] == ["time", "calibrate", "run"]
    assert jobs[0]["graphs"][0]["inputs"] == [
        {"name": "image", "shape": [1, 2], "dtype": "float32"}
    ]
    assert hub.device().browser == "Chromium 155"


FORGED: list[tuple[dict[str, Any], str]] = [
    ({"times": [[1e-4]]}, "2 numbers"),
    ({"times": []}, "each of 1 visits"),
    ({"times": [[1e-4, 0.0]]}, "above 0"),
    ({"times": [[1e-4, float("nan")]]}, "above 0"),
    ({"times": [[1e-4, -1]]}, "above 0"),
    ({"times": [[1e-4, "1"]]}, "should be a number"),
    ({"times": [[1e-4, True]]}, "should be a number"),
    ({"times": [[9e4, 9e4]]}, "add up to"),
    ({"times": None}, "each of 1 visits"),
    ({}, "each of 1 visits"),
]


@pytest.mark.parametrize(("answer", "says"), FORGED)
def test_forged_times_are_refused_and_the_device_is_named(
    hub: Hub, answer: dict[str, Any], says: str
) -> None:
    with (
        page(hub, lambda _: answer, name="Ann's phone") as jobs,
        pytest.raises(InvalidValue, match=r"Ann's phone: Chromium 155 .*3 answers") as error,
    ):
        hub.ask(job(hub))
    assert says in str(error.value)
    assert all(says in one["refused"] for one in jobs[:3])


def test_one_wrong_answer_is_forgiven(hub: Hub) -> None:
    answers = iter([{"times": []}])
    with page(hub, lambda given: next(answers, None) or honest(given)):
        assert hub.ask(job(hub)) == [[1e-4, 1e-4]]


@pytest.mark.parametrize(
    ("kind", "answer", "says"),
    [
        ("calibrate", {"inner": [0]}, "1 to a million"),
        ("calibrate", {"inner": [1.5]}, "1 to a million"),
        ("calibrate", {"inner": [1, 1]}, "1 numbers"),
        ("run", {"outputs": ["?"]}, "base64"),
        ("run", {"outputs": ["AAAA"]}, "8 bytes, got 3"),
        ("run", {"outputs": []}, "1 arrays"),
    ],
)
def test_other_forged_answers(hub: Hub, kind: str, answer: dict[str, Any], says: str) -> None:
    outputs = (TensorSpec(name="logits", shape=(1, 2)),)
    with page(hub, lambda _: answer), pytest.raises(InvalidValue, match="refused") as error:
        hub.ask(job(hub, kind, outputs=outputs))
    assert says in str(error.value)


def test_a_device_that_cannot_says_why(hub: Hub) -> None:
    with (
        page(hub, lambda _: {"error": "out of\nmemory"}),
        pytest.raises(InvalidValue, match=r"1 graphs, 0\.0 MB, wasm\): out of memory"),
    ):
        hub.ask(job(hub))


@pytest.mark.parametrize(
    "wrong",
    [
        {"browser": ""}, {"browser": "x" * 400}, {"cores": 0}, {"cores": True}, {"cores": "4"},
        {"isolated": 1}, {"clock_step_ms": 0}, {"clock_step_ms": float("inf")}, {"name": 5},
    ],
)  # fmt: skip
def test_impossible_facts_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadField):
        Facts.of({**FACTS, **wrong})


def test_names_hold_no_control_characters() -> None:
    assert Facts.of({**FACTS, "name": "a\x1b[31m\n\u202eb"}).name == "a [31m b"


def test_nobody_comes(hub: Hub) -> None:
    hub.patience_s, hub.url = 0.3, "http://localhost:1/"
    with pytest.raises(UserError, match="no browser came to http://localhost:1/"):
        hub.ask(job(hub))


def test_a_page_that_goes_away_and_comes_back(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GONE_SECONDS", 0.2)
    hub.hello(FACTS)  # and never asks for work
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(hub.ask(job(hub))))
    asking.start()
    time.sleep(0.6)
    with page(hub):
        asking.join(5)
    assert found == [[[1e-4, 1e-4]]]


def test_another_device_does_not_take_over(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GONE_SECONDS", 0.2)
    first = hub.hello(FACTS)
    assert hub.alive(first)["measures"]
    time.sleep(0.3)
    other = hub.hello({**FACTS, "browser": "Firefox 160"})
    said = hub.alive(other)
    assert not said["measures"]
    assert "Chromium 155" in said["wanted"]
    assert hub.alive(hub.hello(FACTS))["measures"]


def test_of_two_equal_phones_each_is_known_by_its_name(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_SECONDS", 0.2)
    assert hub.alive(hub.hello({**FACTS, "name": "Ann"}))["measures"]
    time.sleep(0.3)
    said = hub.alive(hub.hello({**FACTS, "name": "Ben"}))
    assert not said["measures"]
    assert "Ann" in said["wanted"]


def test_of_several_devices_the_one_that_was_asked_for_measures() -> None:
    hub = Hub(patience_s=5, wanted="ben")
    ann = hub.hello({**FACTS, "name": "Ann"})
    assert hub.alive(ann) == {"measures": False, "wanted": "the device called 'ben'"}
    ben = hub.hello({**FACTS, "name": "Ben"})
    assert hub.alive(ben)["measures"]
    assert not hub.alive(ann)["measures"]
    assert hub.device().name == "Ben"


def test_a_page_that_vanishes_in_a_job_says_how_to_go_on(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_SECONDS", 0.2)
    hub.patience_s, hub.url = 0.4, "http://localhost:1/"
    key = hub.hello(FACTS)
    taken = threading.Thread(target=lambda: hub.work(key, wait_s=2))
    taken.start()  # and never sends its result: the phone sleeps
    with pytest.raises(UserError, match=r"what was measured is kept.*same command continues"):
        hub.ask(job(hub))
    taken.join()


def test_answers_of_others_are_refused(hub: Hub) -> None:
    key = hub.hello(FACTS)
    with pytest.raises(BadField, match="nothing is asked"):
        hub.result(key, {"job": 1})
    with pytest.raises(BadField, match="not known"):
        hub.work("guessed", wait_s=0)


def test_pages_are_bounded(hub: Hub) -> None:
    for _ in range(module.MAX_DEVICES):
        hub.hello(FACTS)
    with pytest.raises(BadField, match="open already"):
        hub.hello(FACTS)
