"""Time the tracker's page in headless Chromium, and compare its masks with Python's.

    python benchmarks/browser_tracking.py --results results/browser-tracking-intel-xeon

The page is driven as by a user: a clip is opened, a click made, **Track** pressed; frames a second are
the page's own, reading and drawing included. Each round loads the page anew. Agreement is measured
beside that, on the frames' exact pixels, which no video codec has touched. The clip is the one that the
package draws, or a folder of images: --frames FOLDER --point X Y.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from tables import write_results
from tables_tracking import browser_tracking

from pocketeye.data.clips.flower import HiddenFlowerClip
from pocketeye.exporting.web import write_site
from pocketeye.latency.device import Device
from pocketeye.models.tam.published import bundled_graphs
from pocketeye.provenance import environment
from pocketeye.runtimes.browser.assets import ort_version
from pocketeye.serving.server import Served
from pocketeye.tracking import load_tracker
from pocketeye.web.serve import site_app

FPS = 15  # of the clip that the page reads: any will do, it is followed as fast as it goes
NUM_FRAMES = 60
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_OPEN = """async shape => {
    const {asking} = await import('./page.mjs');
    globalThis.track = asking('track_worker.mjs'); globalThis.encode = asking('encode_worker.mjs');
    await Promise.all([track('open', 1), encode('open', 1)]);
    await track('begin', shape);
}"""
_FRAME = """async ([n, text, shape, point]) => {
    const pixels = Uint8ClampedArray.from(atob(text), c => c.charCodeAt(0));
    const {features} = await encode('encode', pixels, shape), prompt = {points: [point], labels: [1]};
    const answer = await (n ? track('track', n, features, false) : track('add', 1, 0, features, prompt));
    return answer.objects[0].segmentation.counts;
}"""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Some frames, uint8 RGB, and a point in the first one."""

    name: str
    frames: list[np.ndarray]
    point: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.frames[0].shape[:2]
        return height, width


def clip_of(folder: Path | None, point: tuple[int, int] | None) -> Clip:
    """Return the clip that was asked for, at most 60 frames of it."""
    if folder is None:
        drawn = HiddenFlowerClip()
        frames = [np.ascontiguousarray(drawn[n][0]) for n in range(min(NUM_FRAMES, len(drawn)))]
        return Clip(name="hidden flower", frames=frames, point=drawn.point())
    assert point is not None, "--frames needs --point X Y"
    paths = sorted(folder.glob("*.jpg"))[:NUM_FRAMES]
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return Clip(name=folder.name, frames=frames, point=point)


def write_clip(clip: Clip, path: Path) -> None:
    """Write VP8, which every Chromium decodes."""
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=FPS, options={"crf": "6", "b": "6M"})
        stream.height, stream.width = clip.shape
        stream.pix_fmt = "yuv420p"
        for frame in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.goto(url)
    page.locator("#state", has_text="Ready").wait_for(timeout=120_000)
    return page


def followed(browser: Browser, url: str, clip: Clip, path: Path) -> dict[str, Any]:
    """Follow the clip as a user does; returns what the page says of its speed."""
    page = opened(browser, url)
    page.set_input_files("#clip", path)
    page.locator("#state", has_text="Click on").wait_for(timeout=60_000)
    box = page.locator("#image").bounding_box()
    assert box is not None
    # The canvas is fitted into its place: there may be bars beside it.
    height, width = clip.shape
    scale = min(box["width"] / width, box["height"] / height)
    left, top = (box["width"] - scale * width) / 2, (box["height"] - scale * height) / 2
    x, y = clip.point
    page.mouse.click(box["x"] + left + scale * x, box["y"] + top + scale * y)
    page.locator("#state", has_text="ms.").wait_for(timeout=60_000)
    page.click("#play")
    page.locator("#speed", has_text="frames a second").wait_for(timeout=300_000)
    told = json.loads(page.locator("#speed").get_attribute("data-stages") or "")
    told |= page.evaluate("({cores: navigator.hardwareConcurrency, isolated: crossOriginIsolated})")
    page.close()
    return dict(told)


def agreement(browser: Browser, url: str, name: str, clip: Clip) -> list[float]:
    """Return the IoU of the page's mask with Python's, frame by frame."""
    page = opened(browser, url)
    page.evaluate(_OPEN, list(clip.shape))
    ious = []
    with load_tracker(name, engine="onnxruntime").open() as session:
        for n, frame in enumerate(clip.frames):
            result = session.push(frame)
            if n == 0:
                result = session.add(1, points=[list(clip.point)])
            assert result.masks is not None
            theirs = result.masks.dense()[0]
            opaque = np.dstack([frame, np.full(clip.shape, 255, np.uint8)])
            text = b64encode(opaque.tobytes()).decode()
            counts = page.evaluate(_FRAME, [n, text, list(clip.shape), list(clip.point)])
            # COCO's run lengths go down the columns, and begin with what is not the object.
            values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
            ours = values.reshape(clip.shape[::-1]).T
            union = (ours | theirs).sum()
            ious.append(float((ours & theirs).sum() / union) if union else 1.0)
    page.close()
    return ious


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--network", default="pocketeye_tam_nano", help="a name, or an export's folder"
    )
    parser.add_argument("--frames", type=Path, help="a folder of images instead of the drawn clip")
    parser.add_argument("--point", type=int, nargs=2, help="a point of the object in the first one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, required=True, help="without an ending")
    args = parser.parse_args()
    graphs = Path(args.network) if Path(args.network).is_dir() else bundled_graphs(args.network)
    assert graphs is not None, f"no graphs come along for {args.network}"
    clip = clip_of(args.frames, tuple(args.point) if args.point else None)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = write_site(graphs, Path(scratch) / "site")
        path = Path(scratch) / "clip.webm"
        write_clip(clip, path)
        served = Served(site_app(site.folder), port=0)
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
        try:
            rounds = [followed(browser, served.url, clip, path) for _ in range(args.rounds)]
            ious = agreement(browser, served.url, args.network, clip)
            version = browser.version
        finally:
            browser.close()
            served.close()
    content = {
        "network": args.network, "clip": clip.name, "size": list(clip.shape[::-1]),
        "rounds": rounds, "ious": ious, "size_bytes": site.size_bytes,
        "browser": f"Chromium {version}", "onnxruntime_web": ort_version(),
        "device": str(Device.here()), "environment": environment(),
    }  # fmt: skip
    write_results(args.results, content, browser_tracking)


if __name__ == "__main__":
    main()
