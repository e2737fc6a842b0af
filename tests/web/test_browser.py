"""In a real browser graphs are computed right, and a site classifies as Python does, offline too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pocketeye.exporting.web import write_site
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.predicting.info import ModelInfo
from pocketeye.runtimes import Artifact, ExportRequest, get_runtime
from pocketeye.web.serve import site_app
from tests.web.conftest import quiet_page

pytest.importorskip("starlette")
pytest.importorskip("segno")

from pocketeye.runtimes.browser.app import measuring_app
from pocketeye.runtimes.browser.hub import Hub
from pocketeye.runtimes.browser.runtime import BrowserExecutable
from pocketeye.serving.server import Served

QUICK = Protocol(rounds=2, samples=2, min_sample_ms=1.0, extra_rounds=0)


def export(module: nn.Module, shape: tuple[int, ...], folder: Path) -> Artifact:
    """Write a graph by the fast route."""
    request = ExportRequest(module.eval(), (torch.zeros(1, *shape),), for_timing=True)
    return get_runtime("onnxruntime").export(request, folder)


def small(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip


def test_graphs_are_computed_and_timed(chromium: Any, tmp_path: Path) -> None:
    hub = Hub(patience_s=30)
    served = Served(measuring_app(hub), port=0)
    try:
        with quiet_page(chromium) as page:
            page.goto(served.url)
            facts = hub.device()
            assert facts.isolated
            assert facts.simd
            assert facts.clock_step_ms < 0.1
            module = small()
            for threads in range(1, min(2, facts.cores) + 1):
                artifact = export(module, (3, 32, 32), tmp_path / f"graph{threads}")
                executable = BrowserExecutable(artifact, hub, "wasm", threads)
                x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
                (found,) = executable(x)
                wanted = module(torch.from_numpy(x)).detach().numpy()
                np.testing.assert_allclose(found, wanted, atol=1e-5)
                calls = {"small": executable.bind(x)}
                measured = measure_interleaved(calls, QUICK, threads=threads)
                timing = measured["small"].timing
                assert 0 < timing.latency_ms < 100
                # On a busy machine one call lasts as long as a sample: then twice as many are taken.
                assert timing.n == (4 if timing.inner > 1 else 8)
            page.locator("#state", has_text="sent").wait_for()
    finally:
        served.close()


@pytest.fixture
def classifier(tmp_path: Path) -> tuple[Path, nn.Module, ModelInfo]:
    module, model = small(), tmp_path / "model"
    export(module, (3, 24, 24), model)
    info = ModelInfo(
        name="small", num_classes=5, in_chans=3, input_size=24, mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.25, 0.3), classes=tuple("abcde"), crop_pct=0.875, interpolation="bicubic",
    )  # fmt: skip
    info.save(model)
    return write_site(model, tmp_path / "files" / "below" / "site").folder, module, info


@pytest.fixture
def any_server(tmp_path: Path) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """Serve a folder as `python -m http.server` does, which sends no headers of ours."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

        def log_message(self, *_: Any) -> None:
            return

    files = tmp_path / "files"
    files.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(files)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}/below/site/", server
    server.shutdown()
    server.server_close()


def ready(page: Any) -> str:
    page.locator("#state", has_text="Ready").wait_for()
    return str(page.inner_text("#state"))


def test_a_site_classifies_as_python_does(
    chromium: Any, classifier: tuple[Path, nn.Module, ModelInfo], tmp_path: Path
) -> None:
    site, module, info = classifier
    served = Served(site_app(site), port=0)
    pixels = np.random.default_rng(1).integers(0, 256, (57, 83, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    logits = module(info.transform()(Image.fromarray(pixels))[None])[0].detach().numpy()
    try:
        with quiet_page(chromium) as page:
            page.goto(served.url)
            ready(page)
            page.set_input_files("#photo", tmp_path / "photo.png")
            page.wait_for_selector("#found tr")
            shown = page.locator("#found tr td:first-child").all_inner_texts()
            assert shown == [info.classes[k] for k in np.argsort(-logits)]
            found = page.evaluate(
                """async ([pixels, shape]) => {
                    const {asking} = await import('./page.mjs'), ask = asking('try_worker.mjs');
                    await ask('open', 1);
                    return (await ask('look', Uint8Array.from(pixels), shape, 5)).logits;
                }""",
                [pixels.reshape(-1).tolist(), [57, 83]],
            )
            # A resized pixel may differ by one of 255 where Python's resize rounds in another place.
            np.testing.assert_allclose(found, logits, atol=2e-3)
            (tmp_path / "no.png").write_bytes(b"no image")
            page.set_input_files("#photo", tmp_path / "no.png")
            page.wait_for_selector("#warning:not([hidden])")
            assert "no image that this browser can read" in page.inner_text("#warning")
    finally:
        served.close()


def test_a_site_works_from_any_server_below_any_path_and_offline(
    chromium: Any,
    classifier: tuple[Path, nn.Module, ModelInfo],
    any_server: tuple[str, ThreadingHTTPServer],
) -> None:
    url, server = any_server
    with quiet_page(chromium) as page:
        page.goto(url)
        # The service worker isolates the page, which loads again for it.
        page.wait_for_function("globalThis.crossOriginIsolated === true", timeout=15_000)
        first = ready(page)
        server.shutdown()
        server.server_close()
        page.reload()
        assert ready(page) == first
        assert page.evaluate("globalThis.crossOriginIsolated")
