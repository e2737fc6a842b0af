"""In a real browser the tracker's page finds what Python finds, from the weights that come along."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketeye.data.clips.flower import FlowerClip
from pocketeye.exporting.web import write_site
from pocketeye.models.tam.published import bundled_graphs
from pocketeye.tracking import load_tracker
from tests.web.conftest import quiet_page

pytest.importorskip("starlette")

from pocketeye.runtimes.browser.serving import Served
from pocketeye.web.serve import site_app

_NAME, _FRAMES = "pocketeye_tam_nano", 3
_WORK = """async ([frames, shape, point]) => {
    const {asking} = await import('./page.mjs'), {fromRuns} = await import('./masks.mjs');
    const ask = asking('track_worker.mjs'), found = [];
    await ask('open', 1);
    await ask('begin', shape);
    for (const [n, text] of frames.entries()) {
        const pixels = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        const prompt = {points: [point], labels: [1]};
        const answer = n ? await ask('track', n, pixels, false) : await ask('add', 1, 0, pixels, prompt);
        found.push(Array.from(fromRuns(answer.objects[0].segmentation)));
    }
    return found;
}"""


def masks_in_python(frames: list[np.ndarray], point: list[int]) -> list[np.ndarray]:
    with load_tracker(_NAME, engine="onnxruntime").open() as session:
        session.push(frames[0])
        first = session.add(1, points=[point])
        results = [first, *(session.push(frame) for frame in frames[1:])]
    return [result.masks.dense()[0] for result in results if result.masks is not None]


def test_the_page_tracks_as_python_does(chromium: Any, tmp_path: Path) -> None:
    graphs = bundled_graphs(_NAME)
    assert graphs is not None
    clip = FlowerClip()
    frames = [np.ascontiguousarray(clip[n][0]) for n in range(_FRAMES)]
    point = list(clip.point())
    wanted = masks_in_python(frames, point)
    served = Served(site_app(write_site(graphs, tmp_path / "site").folder), port=0)
    try:
        with quiet_page(chromium) as page:
            page.goto(served.url)
            page.locator("#state", has_text="Ready").wait_for()
            texts = [b64encode(frame.tobytes()).decode() for frame in frames]
            found = page.evaluate(_WORK, [texts, list(frames[0].shape[:2]), point])
    finally:
        served.close()
    for ours, theirs in zip(found, wanted, strict=True):
        mask = np.asarray(ours, bool).reshape(theirs.shape)
        assert (mask & theirs).sum() / (mask | theirs).sum() > 0.99
