"""In a real browser the tracker's page finds what Python finds, from the weights that come along."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pocketeye.data.clips.flower import FlowerClip
from pocketeye.exporting.web import write_site
from pocketeye.models.tam.published import bundled_graphs
from pocketeye.tracking import load_tracker
from tests.web.conftest import quiet_page

pytest.importorskip("starlette")

from pocketeye.serving.server import Served
from pocketeye.web.serve import site_app

_NAME, _FRAMES = "pocketeye_tam_nano", 3
_WORK = """async ([frames, shape, point]) => {
    const {asking} = await import('./page.mjs'), {fromRuns} = await import('./masks.mjs');
    const ask = asking('track_worker.mjs'), encoder = asking('encode_worker.mjs'), found = [];
    await Promise.all([ask('open', 1), encoder('open', 1)]);
    await ask('begin', shape);
    for (const [n, text] of frames.entries()) {
        const pixels = Uint8ClampedArray.from(atob(text), c => c.charCodeAt(0));
        const {features} = await encoder('encode', pixels, shape);
        const prompt = {points: [point], labels: [1]};
        const answer = await (n ? ask('track', n, features, false) : ask('add', 1, 0, features, prompt));
        found.push(Array.from(fromRuns(answer.objects[0].segmentation)));
    }
    return found;
}"""
_READ = """async text => {
    const {Clip} = await import('./frames.mjs'), {openClip} = await import('./page.mjs');
    const video = document.createElement('video'), greys = [];
    video.muted = true;
    const file = new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], 'clip.webm');
    const clip = await Clip.of(await openClip(video, file));
    for (let reader = clip.reader(1), image; (image = await reader.next());) greys.push(image.pixels[0]);
    return [clip.fps, greys];
}"""
_ALPHA = """async text => {
    const {Clip} = await import('./frames.mjs'), {openClip} = await import('./page.mjs');
    const file = new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], 'alpha.webm');
    const video = await openClip(document.createElement('video'), file), clip = new Clip();
    Object.assign(clip, {video, fps: 10, width: video.videoWidth, height: video.videoHeight});
    const {pixels} = await clip.at(2);
    return [...new Set(pixels.filter((_, k) => k % 4 === 3))];
}"""


def masks_in_python(frames: list[np.ndarray], point: list[int]) -> list[np.ndarray]:
    with load_tracker(_NAME, engine="onnxruntime").open() as session:
        session.push(frames[0])
        first = session.add(1, points=[point])
        results = [first, *(session.push(frame) for frame in frames[1:])]
    return [result.masks.dense()[0] for result in results if result.masks is not None]


def encoded(frames: list[np.ndarray], fps: int) -> bytes:
    """Return a VP8 clip in WebM, which every Chromium decodes."""
    file = BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=fps, options={"crf": "4", "b": "4M"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def site_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    graphs = bundled_graphs(_NAME)
    assert graphs is not None
    folder = write_site(graphs, tmp_path_factory.mktemp("web") / "site").folder
    served = Served(site_app(folder), port=0)
    yield served.url
    served.close()


@pytest.fixture(scope="module")  # it opens for seconds; every clip begins anew
def page(chromium: Any, site_url: str) -> Iterator[Any]:
    with quiet_page(chromium) as page:
        page.goto(site_url)
        page.locator("#state", has_text="Ready").wait_for()
        yield page


def test_the_page_tracks_as_python_does(page: Any) -> None:
    clip = FlowerClip()
    frames = [np.ascontiguousarray(clip[n][0]) for n in range(_FRAMES)]
    point = list(clip.point())
    wanted = masks_in_python(frames, point)
    opaque = [np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]) for frame in frames]
    texts = [b64encode(frame.tobytes()).decode() for frame in opaque]
    found = page.evaluate(_WORK, [texts, list(frames[0].shape[:2]), point])
    for ours, theirs in zip(found, wanted, strict=True):
        mask = np.asarray(ours, bool).reshape(theirs.shape)
        assert (mask & theirs).sum() / (mask | theirs).sum() > 0.99


def test_a_clip_is_read_frame_by_frame_as_it_plays(page: Any) -> None:
    greys = [20 + 15 * n for n in range(14)]
    clip = encoded([np.full((64, 96, 3), grey, np.uint8) for grey in greys], 10)
    fps, found = page.evaluate(_READ, b64encode(clip).decode())
    assert fps == 10
    # From the second frame on, all of them, each once: a codec moves a grey by a few of 255.
    np.testing.assert_allclose(found, greys[1:], atol=5)


def click(page: Any, x: float, y: float) -> None:
    """Click on a place of the image, given as shares of its sides."""
    canvas = page.locator("#image")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.locator("#state", has_text="ms.").wait_for()


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def test_a_clip_is_followed_corrected_and_saved(page: Any, tmp_path: Path) -> None:
    clip = FlowerClip()
    frames = [np.ascontiguousarray(clip[n][0]) for n in range(4)]
    (tmp_path / "clip.webm").write_bytes(encoded(frames, 10))
    page.set_input_files("#clip", tmp_path / "clip.webm")
    page.locator("#state", has_text="4 frames at 10").wait_for()
    x, y = clip.point()
    height, width = frames[0].shape[:2]
    click(page, x / width, y / height)
    page.click("#undo")
    page.locator("#state", has_text="taken back").wait_for()
    assert page.locator("#play").is_disabled()
    page.click("#redo")
    page.locator("#state", has_text="done again").wait_for()
    page.click("#play")
    page.locator("#cancel").wait_for(state="hidden")
    assert page.input_value("#time") == "3"
    rows = [line.split(",") for line in saved(page, "#mot").decode().splitlines()]
    assert [row[:2] for row in rows] == [[str(n), "1"] for n in (1, 2, 3, 4)]
    overlay = saved(page, "#overlay")
    with av.open(BytesIO(overlay)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 4
    changed = np.abs(shown[3][:height, :width].astype(int) - frames[3]).max(2) > 40
    left, top, box_width, box_height = (int(float(value)) for value in rows[3][2:6])
    inside = np.zeros_like(changed)
    inside[top - 1 : top - 1 + box_height, left - 1 : left - 1 + box_width] = True
    assert changed[inside].mean() > 0.3
    assert changed[~inside].mean() < 0.02
    check_alpha(saved(page, "#alpha"), page)


def check_alpha(video: bytes, page: Any) -> None:
    """Check that all four frames are there, and that the browser shows them with alpha."""
    with av.open(BytesIO(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4
    values = page.evaluate(_ALPHA, b64encode(video).decode())
    assert min(values) < 10
    assert max(values) > 245


def test_a_page_is_used_by_the_keyboard_alone(page: Any, tmp_path: Path) -> None:
    frame = np.ascontiguousarray(FlowerClip()[0][0])
    (tmp_path / "clip.webm").write_bytes(encoded([frame] * 3, 10))
    page.set_input_files("#clip", tmp_path / "clip.webm")
    # How many are told follows from what a busy browser shows of them.
    page.locator("#state", has_text="frames at").wait_for()
    page.locator("#image").focus()
    page.keyboard.press("b")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#state", has_text="ms.").wait_for()
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    page.locator("#state", has_text="Frame ").wait_for()
    page.locator("#cancel").wait_for(state="hidden")
    # What was pressed has the keyboard again.
    assert page.evaluate("document.activeElement.id") == "play"
    page.keyboard.press("Control+z")
    page.locator("#state", has_text="taken back").wait_for()
    page.locator("#objects button", has_text="New object").focus()
    page.keyboard.press("Enter")
    assert page.locator("#objects button[aria-pressed=true]").inner_text() == "Object 2"
