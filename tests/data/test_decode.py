"""What becomes of images that are stored in an odd way, or damaged."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import UnreadableImage, decode, load_images
from tests.data.layouts import make_image


def photograph() -> Image.Image:
    """48x32, every pixel different from its neighbours."""
    y, x = np.mgrid[:32, :48]
    return Image.fromarray(np.stack([5 * x, 7 * y, 3 * x + y], -1).astype(np.uint8))


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


RGB = np.asarray(photograph()).astype(int)
GREY = np.asarray(photograph().convert("L")).astype(int)


@pytest.mark.parametrize(
    ("image", "kind", "wanted", "slack"),
    [
        (photograph(), "PNG", RGB, 0),
        (photograph(), "BMP", RGB, 0),
        (photograph(), "WEBP", RGB, 60),
        (photograph(), "JPEG", RGB, 40),
        (photograph().convert("L"), "JPEG", GREY[..., None], 8),
        (photograph().convert("L"), "PNG", GREY[..., None], 0),
        (photograph().convert("CMYK"), "JPEG", RGB, 40),
        (photograph().convert("CMYK"), "TIFF", RGB, 1),
        (photograph().quantize(256), "PNG", RGB, 40),
        (photograph().convert("1"), "PNG", None, 0),
        (Image.fromarray((GREY * 257).astype(np.uint16)), "PNG", GREY[..., None], 1),
        (Image.fromarray((GREY * 257).astype(np.uint16)), "TIFF", GREY[..., None], 1),
        (Image.fromarray((GREY / 255).astype(np.float32)), "TIFF", GREY[..., None], 1),
    ],
    ids=lambda value: f"{value.mode}" if isinstance(value, Image.Image) else None,
)
def test_stored_as(image: Image.Image, kind: str, wanted: np.ndarray | None, slack: int) -> None:
    data = stored(image, kind)
    pixels = np.asarray(decode(data)).astype(int)
    assert pixels.shape == (32, 48, 3)
    if wanted is not None:
        assert np.abs(pixels - wanted).max() <= slack
        assert np.abs(pixels - wanted).mean() <= slack / 4
    else:
        assert set(np.unique(pixels)) == {0, 255}
    assert decode(data, 1).mode == "L"
    assert np.asarray(decode(data, 1)).shape == (32, 48)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (8, 4), (10, 10, 10, 0))
    clear.paste((200, 200, 200, 255), (0, 0, 4, 4))
    if mode == "P":
        image = Image.new("P", (8, 4), 1)
        image.putpalette([200, 200, 200, 10, 10, 10])
        image.paste(0, (0, 0, 4, 4))
        data = stored(image, "PNG", transparency=1)
    else:
        data = stored(clear.convert(mode), "PNG")
    pixels = np.asarray(decode(data))
    assert pixels[:, :4].tolist() == [[[200] * 3] * 4] * 4
    assert pixels[:, 4:].tolist() == [[[255] * 3] * 4] * 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_turned_by_exif(orientation: int, kind: str) -> None:
    image = Image.new("RGB", (48, 32), "black")
    image.paste("white", (0, 0, 24, 16))  # top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.asarray(decode(stored(image, kind, exif=exif), 1))
    height, width = turned.shape
    assert (width, height) == ((48, 32) if orientation < 5 else (32, 48))
    corners = [turned[3, 3], turned[3, -4], turned[-4, -4], turned[-4, 3]]
    # top left, top right, bottom right, bottom left, by EXIF 2.32 table of tag 274
    assert int(np.argmax(corners)) == (0, 1, 2, 3, 0, 1, 2, 3)[orientation - 1]


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    data = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((0, 0)) == (255, 0, 0)


def test_huge_images() -> None:
    large = stored(Image.new("1", (9500, 9500)), "PNG")  # Pillow would warn
    assert decode(large, 1).size == (9500, 9500)
    with pytest.raises(UnreadableImage, match="too many pixels"):
        decode(stored(Image.new("1", (20_000, 9000)), "PNG"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated(kind: str) -> None:
    data = stored(photograph(), kind)
    for share in (0.02, 0.5, 0.7):
        with pytest.raises(UnreadableImage):
            decode(data[: int(len(data) * share)])


def test_not_a_image(tmp_path: Path) -> None:
    for data in (
        b"hello",
        b"<svg/>",
        bytes(500),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ):
        with pytest.raises(UnreadableImage, match="not an image"):
            decode(data)
    with pytest.raises(UnreadableImage, match="empty file"):
        decode(b"")
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "missing.png")


def test_a_folder_of_all_kinds(tmp_path: Path) -> None:
    whole = stored(photograph(), "JPEG")
    files = {
        "grey.jpg": stored(photograph().convert("L"), "JPEG"),
        "cmyk.jpg": stored(photograph().convert("CMYK"), "JPEG"),
        "wide.png": stored(Image.fromarray((GREY * 257).astype(np.uint16)), "PNG"),
        "clear.png": stored(photograph().convert("RGBA"), "PNG"),
        "really-png.jpg": stored(photograph(), "PNG"),
        "cut.jpg": whole[:-100],
        "empty.jpg": b"",
        "text.jpg": b"no image",
    }
    for name in ("ant", "bee"):
        make_image(tmp_path / "train" / name / "0.png")
        make_image(tmp_path / "val" / name / "0.png")
    for name, data in files.items():
        (tmp_path / "train" / "ant" / name).write_bytes(data)
    inside, outside = load_images(tmp_path), load_images(tmp_path, memory_bytes=10)
    assert len(inside) == 5 + 2
    assert all(inside.read(i).image.mode == "RGB" for i in range(len(inside)))
    assert sorted(p.partition(":")[0] for p in inside.problems) == [
        "ant/cut.jpg", "ant/empty.jpg", "ant/text.jpg",
    ]  # fmt: skip
    assert len(outside) == 8  # a cut image has a whole header
