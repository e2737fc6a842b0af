"""Images of several frames are videos."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.video.animated import AnimatedImage
from pocketeye.errors import InvalidValue
from pocketeye.tracking.io.source import open_video


def frames(count: int = 5, size: tuple[int, int] = (48, 32)) -> list[Image.Image]:
    """Frame ``k`` is grey of the value ``40 * k``."""
    return [Image.new("RGB", size, (40 * k,) * 3) for k in range(count)]


def write(path: Path, images: list[Image.Image], **options: object) -> Path:
    images[0].save(path, save_all=True, append_images=images[1:], **options)  # type: ignore[arg-type]
    return path


def value(frame: np.ndarray) -> int:
    assert frame.shape == (32, 48, 3)
    return round(float(frame.mean()) / 40)


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.PNG", "a.apng", "a.avif", "a.tif", "a.gif"])
def test_every_frame_in_order_and_by_number(tmp_path: Path, name: str) -> None:
    tiff = name == "a.tif"
    form = {"format": "PNG"} if name == "a.apng" else {}
    video = open_video(
        write(tmp_path / name, frames(), **form, **({} if tiff else {"duration": 80}))
    )
    assert (video.num_frames, video.size) == (5, (48, 32))
    assert [value(frame) for frame in video] == [0, 1, 2, 3, 4]
    assert [value(video[k]) for k in (4, 1, -1, 0)] == [4, 1, 4, 0]
    assert video.fps == (None if tiff else pytest.approx(12.5))
    with pytest.raises(InvalidValue, match="no frame 5"):
        video[5]
    video.close()


def test_the_still_image_of_an_apng_is_no_frame(tmp_path: Path) -> None:
    still = Image.new("RGB", (48, 32), "red")
    path = write(tmp_path / "a.png", [still, *frames(3)], default_image=True, duration=100)
    video = open_video(path)
    assert (video.num_frames, [value(frame) for frame in video]) == (3, [0, 1, 2])


def test_one_frame_is_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (48, 32)).save(tmp_path / "a.webp")
    video = open_video(tmp_path / "a.webp")
    assert (video.num_frames, isinstance(video, AnimatedImage)) == (1, False)


def test_a_page_of_another_size_ends_the_video(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.tif", [*frames(2), Image.new("RGB", (20, 10))])
    video = open_video(path)
    with caplog.at_level(logging.WARNING):
        assert len(list(video)) == 2
    assert "frame 2 of a.tif is 20x10" in caplog.text
    assert video.num_frames == 2
