"""Reading labelled images: layouts, splits, odd and broken files."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import ImageSet, UnreadableImage, decode, load_images
from pocketeye.errors import InvalidValue, MissingFile
from tests.data.layouts import GREEN, RED, make_image, write_parquet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, count in (("train", 5), ("val", 2)):
        for name, colour in (("ant", RED), ("bee", GREEN)):
            for index in range(count):
                make_image(tmp_path / "set" / split / name / f"{index}.png", colour)
    return tmp_path / "set"


def test_image_folder(folder: Path) -> None:
    train, val = load_images(folder, "train"), load_images(folder, "val")
    assert train.classes == val.classes == ("ant", "bee")
    assert train.labels.tolist() == [0] * 5 + [1] * 5
    assert val.labels.tolist() == [0, 0, 1, 1]
    sample = train.read(7)
    assert (sample.image.mode, sample.image.size, sample.targets) == ("RGB", (12, 10), 1)
    assert sample.image.getpixel((0, 0)) == GREEN
    assert train.in_memory
    assert not train.problems
    assert train.name(0) == "ant/0.png"
    pixels = train.pixels(np.array([0, 9]))
    assert pixels is not None
    assert pixels.shape == (2, 10, 12, 3)


def test_folder_without_splits_is_divided_class_by_class(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        for index in range(10):
            make_image(tmp_path / name / f"{index}.png", (index, 0, 0))
    train, val = load_images(tmp_path, "train"), load_images(tmp_path, "val")
    assert train.class_counts().tolist() == [8, 8]
    assert val.class_counts().tolist() == [2, 2]
    names = {s.name(i) for s in (train, val) for i in range(len(s))}
    assert len(names) == 20
    again = load_images(tmp_path, "val")
    assert [again.name(i) for i in range(4)] == [val.name(i) for i in range(4)]


def test_one_image_of_each_class_leaves_none_to_validate_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), GREEN).save(tmp_path / name / "0.png")
    with pytest.raises(InvalidValue, match="give each class several images"):
        load_images(str(tmp_path), "val")


def test_bad_files_are_named_and_left_out(folder: Path) -> None:
    whole = (folder / "train" / "ant" / "0.png").read_bytes()
    (folder / "train" / "ant" / "empty.jpg").touch()
    (folder / "train" / "ant" / "text.jpg").write_text("no image")
    (folder / "train" / "bee" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "train" / "bee" / "notes.txt").write_text("x")
    (folder / "train" / ".DS_Store").write_text("x")
    make_image(folder / "train" / "loose.png")
    train = load_images(folder, "train")
    assert len(train) == 10
    text = "\n".join(train.problems)
    assert len(train.problems) == 5
    for part in ("ant/empty.jpg: empty file", "ant/text.jpg: not an image", "bee/cut.png",
                 "bee/notes.txt", "loose.png: in no class folder"):  # fmt: skip
        assert part in text


def test_missing_class_in_validation_is_a_problem(folder: Path) -> None:
    for path in (folder / "val" / "bee").iterdir():
        path.unlink()
    val = load_images(folder, "val")
    assert val.problems == ("class 'bee' has no images in the validation split",)
    assert val.classes == ("ant", "bee")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("empty", "holds no images: expected"),
        ("flat", "holds 1 images but no class folders"),
        ("empty class", "1 of 3 classes have no readable images ('cow')"),
        ("foreign class", "1 class that the training data does not have: dog"),
        ("one class", "has one class only"),
        ("all broken", "no image that can be read"),
    ],
)
def test_data_that_cannot_be_learnt(
    tmp_path: Path, folder: Path, change: str, message: str
) -> None:
    root, split = folder, "train"
    if change in ("empty", "flat"):
        root = tmp_path / "other"
        root.mkdir()
        if change == "flat":
            make_image(root / "a.png")
    elif change == "empty class":
        (folder / "train" / "cow").mkdir()
    elif change == "foreign class":
        make_image(folder / "val" / "dog" / "a.png")
        split = "val"
    elif change == "one class":
        root = tmp_path / "one"
        make_image(root / "ant" / "a.png")
    elif change == "all broken":
        for path in folder.rglob("train/*/*.png"):
            path.write_bytes(b"")
    with pytest.raises(InvalidValue, match=r"class|image") as caught:
        load_images(root, split)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_unknown_source() -> None:
    with pytest.raises(MissingFile, match="did you mean 'digits'"):
        load_images("digit")
    with pytest.raises(InvalidValue, match="unknown split 'vall'"):
        load_images("digits", "vall")  # type: ignore[arg-type]


def test_large_sets_are_decoded_on_demand(folder: Path) -> None:
    (folder / "train" / "ant" / "text.jpg").write_text("no image")
    inside, outside = load_images(folder), load_images(folder, memory_bytes=100)
    assert not outside.in_memory
    assert outside.problems == inside.problems
    assert len(outside) == len(inside) == 10
    for index in (0, 9):
        assert outside.read(index).targets == inside.read(index).targets
        assert outside.read(index).image.tobytes() == inside.read(index).image.tobytes()


def test_hash_says_what_the_set_is(folder: Path) -> None:
    before = load_images(folder)
    assert load_images(folder).sha256 == before.sha256
    assert before.subset(np.arange(3)).sha256 != before.sha256
    make_image(folder / "train" / "ant" / "0.png", GREEN)
    assert load_images(folder).sha256 != before.sha256


def test_digits() -> None:
    train, val = load_images("digits"), load_images("digits", "val")
    assert len(train) + len(val) == 1797
    assert len(val) == pytest.approx(360, abs=5)
    assert train.in_chans == 1
    assert not train.mirrored_alike
    assert train.classes == tuple("0123456789")
    pixels = train.pixels(np.arange(len(train)))
    assert pixels is not None
    assert pixels.shape[1:] == (8, 8, 1)
    assert (pixels.dtype, pixels.min(), pixels.max()) == (np.uint8, 0, 255)
    assert load_images("digits", in_chans=3).read(0).image.mode == "RGB"


def test_split_is_stratified_and_disjoint() -> None:
    digits = load_images("digits")
    rest, part = digits.split(0.2, seed=1)
    assert abs(part.class_counts() / digits.class_counts() - 0.2).max() < 0.01
    names = {rest.name(i) for i in range(len(rest))} & {part.name(i) for i in range(len(part))}
    assert not names
    assert len(rest) + len(part) == len(digits)
    other = digits.split(0.2, seed=2)[1]
    assert other.indices.tolist() != part.indices.tolist()
    with pytest.raises(InvalidValue, match="between 0 and 1"):
        digits.split(1.0, seed=0)


@pytest.mark.parametrize("layout", ["train.parquet", "data/train-00000-of-00001.parquet"])
def test_parquet(tmp_path: Path, layout: str) -> None:
    png = make_image(tmp_path / "a.png").read_bytes()
    rows: list[tuple[bytes | None, int]] = [(png, 0), (b"junk", 0), (None, 1), (png, 1)]
    root = tmp_path / "set"
    write_parquet(root / layout, rows, ["ant", "bee"])
    write_parquet(root / layout.replace("train", "test"), rows[:1], ["ant", "bee"])
    train = load_images(root)
    assert train.classes == ("ant", "bee")
    assert train.labels.tolist() == [0, 1]
    assert train.problems == ("row 2: no bytes", "row 1: not an image")
    assert len(load_images(root, "val")) == 1


def test_parquet_mistakes(tmp_path: Path) -> None:
    png = make_image(tmp_path / "a.png").read_bytes()
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidValue, match="not a readable parquet file"):
        load_images(tmp_path / "bad.parquet")
    write_parquet(tmp_path / "whole.parquet", [(png, 0), (png, 1)], ["ant", "bee"])
    garbled = (tmp_path / "whole.parquet").read_bytes().replace(b"image", b"\xa1\xa1age")
    (tmp_path / "bad.parquet").write_bytes(garbled)
    with pytest.raises(InvalidValue, match="not a readable parquet file"):
        load_images(tmp_path / "bad.parquet")
    write_parquet(tmp_path / "range.parquet", [(png, 2)], ["ant", "bee"])
    with pytest.raises(InvalidValue, match="run from 2 to 2, but there are 2 classes"):
        load_images(tmp_path / "range.parquet")
    write_parquet(tmp_path / "one.parquet", [(png, i % 2) for i in range(10)], None)
    assert load_images(tmp_path / "one.parquet").classes == ("0", "1")
    assert len(load_images(tmp_path / "one.parquet", "val")) == 2


def test_every_mode_becomes_8_bit_colour(tmp_path: Path) -> None:
    grey = np.full((4, 6), 128, np.uint8)
    palette = Image.fromarray(np.stack([grey] * 3, -1)).quantize(8)
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    clear = Image.new("RGBA", (6, 4), (0, 0, 0, 0))
    cases = {
        "grey.png": (Image.fromarray(grey), 128), "palette.png": (palette, 128),
        "wide.png": (wide, 128), "clear.png": (clear, 255), "wide.tif": (wide, 128),
        "cmyk.jpg": (Image.new("CMYK", (6, 4), (0, 0, 0, 127)), 128),
        "float.tif": (Image.fromarray(np.full((4, 6), 0.5, np.float32)), 128),
    }  # fmt: skip
    for name, (image, value) in cases.items():
        image.save(tmp_path / name)
        pixels = np.asarray(decode(tmp_path / name))
        assert pixels.shape == (4, 6, 3), name
        assert np.abs(pixels.astype(int) - value).max() <= 2, name
        assert decode((tmp_path / name).read_bytes(), 1).mode == "L", name


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(tmp_path / "turned.jpg").size == (4, 6)


def test_unreadable_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="empty file"):
        decode(b"")
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(b"hello")


def test_loading_reports_problems_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "val" / "ant" / "x.jpg").touch()
    with caplog.at_level(logging.INFO, "pocketeye"):
        load_images(folder, "val")
    assert "1 problems" in caplog.text


def test_real_parquet(datasets: Path) -> None:
    val: ImageSet = load_images(datasets / "tiny-imagenet-24", "val")
    assert (len(val), len(val.classes), val.in_memory) == (1200, 24, True)
    assert val.classes[0] == "American alligator"
    assert val.class_counts().tolist() == [50] * 24


def test_blood_cells_come_along() -> None:
    train, val = load_images("blood-cells"), load_images("blood-cells", "val")
    assert train.classes == val.classes == ("platelet", "red cell", "white cell")
    assert train.class_counts().tolist() == [259, 300, 300]
    assert val.class_counts().tolist() == [59, 75, 71]
    assert train.source == "blood-cells"
    assert train.read(0).image.size == (48, 48)
    assert not train.problems
    pixels = train.pixels(np.arange(len(train)))
    assert pixels is not None
    # white cells are stained violet: the least green of all
    greens = [pixels[train.labels == label][..., 1].mean() for label in range(3)]
    assert greens[2] < min(greens[:2]) - 10
    with pytest.raises(MissingFile, match=r"did you mean 'blood-cells'\?"):
        load_images("blood-cell")
