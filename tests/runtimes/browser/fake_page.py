"""Play the part of a page: answer the jobs of a hub from a thread."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pocketeye.reading import BadField
from pocketeye.runtimes.browser.hub import Hub

FACTS: dict[str, Any] = {
    "browser": "Chromium 155", "system": "Linux x86", "cores": 4, "isolated": True, "simd": True,
    "clock_step_ms": 0.005, "name": "", "gpu": "",
}  # fmt: skip
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def honest(job: dict[str, Any]) -> dict[str, Any]:
    """Answer as a page does: fixed times, ones for every output."""
    if job["kind"] == "time":
        return {"times": [[1e-4 * (1 + graph)] * num for graph, _, num in job["visits"]]}
    if job["kind"] == "calibrate":
        return {"inner": [2 for _ in job["visits"]]}
    return {"outputs": [base64.b64encode(np.ones(2, np.float32).tobytes()).decode()]}


@contextmanager
def page(hub: Hub, answer: Answer = honest, **facts: Any) -> Iterator[list[dict[str, Any]]]:
    """Keep a page open inside the block; yields the jobs it got, with what was refused of each."""
    key, jobs, stop = hub.hello({**FACTS, **facts}), [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            job = hub.work(key, wait_s=0.05)
            if job is None:
                continue
            try:
                hub.result(key, {"job": job["job"], **answer(job)})
            except BadField as error:
                job["refused"] = str(error)
            jobs.append(job)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield jobs
    finally:
        stop.set()
        thread.join()
