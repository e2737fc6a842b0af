"""Tar shards: labels, class names, damage; nothing is extracted."""

import json
import pickle
import tarfile
from pathlib import Path

import pytest

from pocketeye.data import UnreadableImage, load_images
from pocketeye.data.classification.webdataset import find_shards
from pocketeye.errors import InvalidValue
from tests.data.layouts import Members, encoded, make_image, samples, write_tar


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """10 + 6 images to train in two shards, 4 to judge."""
    write_tar(tmp_path / "toy-train-000000.tar", samples(0, 10))
    write_tar(tmp_path / "toy-train-000001.tar", samples(10, 6))
    write_tar(tmp_path / "toy-validation-00.tar", samples(16, 4))
    return tmp_path


def test_shards(shards: Path) -> None:
    before = sorted(shards.iterdir())
    train, val = load_images(shards), load_images(shards, "val")
    assert (len(train), len(val)) == (16, 4)
    assert train.classes == val.classes == ("0", "1")
    assert train.labels.tolist() == [i % 2 for i in range(16)]
    assert train.name(11) == "toy-train-000001.tar/s0011"
    for index in (0, 11):
        assert train.read(index).image.getpixel((0, 0)) == (index, 3 * index, 90)
    assert not train.problems
    assert sorted(shards.iterdir()) == before


def test_labels_from_json_and_names(tmp_path: Path) -> None:
    members: Members = []
    for index in range(6):
        name = ("bee", "ant")[index % 2]
        described = json.dumps({"label": name, "width": 6}).encode()
        members += [(f"a/{index}.JPG", encoded(index, "JPEG")), (f"a/{index}.json", described)]
    write_tar(tmp_path / "train" / "0.tar", members)
    write_tar(tmp_path / "val" / "0.tar", members[:2])
    train, val = load_images(tmp_path), load_images(tmp_path, "val")
    assert train.classes == val.classes == ("ant", "bee")
    assert train.labels.tolist() == [1, 0] * 3
    assert val.labels.tolist() == [1]
    assert train.name(2) == "0.tar/a/2"


@pytest.mark.parametrize("file", ["classes.txt", "classnames.txt", "dataset_info.json"])
def test_class_names_beside_the_shards(shards: Path, file: str) -> None:
    info = {"features": {"jpg": {"_type": "Image"}, "cls": {"names": ["ant", "bee"]}}}
    (shards / file).write_text(json.dumps(info) if file.endswith("json") else "ant\nbee\n")
    assert load_images(shards).classes == load_images(shards, "val").classes == ("ant", "bee")
    (shards / file).write_text("{" if file.endswith("json") else "ant\nant\n")
    with pytest.raises(InvalidValue, match=file):
        load_images(shards)


def test_bad_samples_are_named_and_left_out(tmp_path: Path) -> None:
    good = samples(0, 6)
    bad = [
        ("lone.png", encoded(1)), ("bare.cls", b"1"), ("empty.png", b""), ("empty.cls", b"1"),
        ("text.jpg", b"no image at all"), ("text.cls", b"0"), ("far.png", encoded(1)),
        ("far.cls", b"2"), ("minus.png", encoded(2)), ("minus.cls", b"-1"),
        ("odd.png", encoded(2)), ("odd.json", b"{]"), ("none.png", encoded(2)),
        ("none.json", b'{"label": null}'), ("._s0000.png", b"x"),
    ]  # fmt: skip
    path = write_tar(tmp_path / "train-0.tar", [*good, *bad])
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    (tmp_path / "val").mkdir()
    for budget in (1 << 30, 10):
        train = load_images(tmp_path, memory_bytes=budget)
        text = "\n".join(train.problems)
        assert len(train) + len(load_images(tmp_path, "val")) == 6
        for part in (
            "lone: no label", "bare: no image", "empty: empty file", "text: not an image",
            "far: its label is none of the 2 classes", "minus: its label is none", "none: no label",
            "odd: its .json cannot be read", "link.png: a link or special file, not read",
        ):  # fmt: skip
            assert f"train-0.tar/{part}" in text
        assert len(train.problems) == 9


def test_names_of_members_are_no_paths(tmp_path: Path) -> None:
    members = [(f"../../{n}", d) for n, d in samples(0, 10)]
    members += [(f"/etc/{n}", d) for n, d in samples(10, 10)]
    write_tar(tmp_path / "deep" / "set" / "train.tar", members)
    train = load_images(tmp_path / "deep" / "set", memory_bytes=10)
    assert len(train) == 16
    assert all(train.read(i).image.size == (6, 5) for i in range(16))
    assert [p.name for p in tmp_path.rglob("*")] == ["deep", "set", "train.tar"]


@pytest.mark.parametrize(
    "cut",
    [
        "inside an image",
        "inside a header",
        "no end",
        "garbled",
        "two",
        "backwards",
    ],
)
def test_damaged_shards(tmp_path: Path, cut: str) -> None:
    whole = write_tar(tmp_path / "whole.tar", samples(0, 20)).read_bytes()
    write_tar(tmp_path / "toy-val.tar", samples(0, 4))
    with tarfile.open(tmp_path / "whole.tar") as tar:
        member = tar.getmember("s0011.png")
    (tmp_path / "whole.tar").unlink()
    end = member.offset_data
    header = bytearray(whole[end - 512 : end])
    header[124:136] = (-5000 & (1 << 88) - 1 | 0xFF << 88).to_bytes(12, "big")  # a size below 0
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    data, message, count = {
        "inside an image": (whole[: end + 10], "damaged after 11 samples", 11),
        "inside a header": (whole[: end - 100], "damaged at byte", 11),
        "no end": (whole[: end - 512], "without its end", 11),
        "garbled": (whole[: end - 512] + b"\1" * 512 + whole[end:], "damaged at byte", 11),
        "backwards": (whole[: end - 512] + header + whole[end:], "damaged after 11 samples", 11),
        "two": (whole + bytes(70_000) + whole, "before that of the file", 20),
    }[cut]
    (tmp_path / "toy-train.tar").write_bytes(data)
    for budget in (1 << 30, 10):
        train = load_images(tmp_path, memory_bytes=budget)
        assert len(train) == count
        assert len(train.problems) == 1
        assert "toy-train.tar: " in train.problems[0]
        assert message in train.problems[0]


@pytest.mark.parametrize("content", [b"", b"hello" * 1000, b"\x1f\x8b" + bytes(2000)])
def test_no_tar_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "toy-train-0.tar").write_bytes(content)
    with pytest.raises(InvalidValue, match=r"toy-train-0\.tar"):
        load_images(tmp_path)


def test_other_mistakes(tmp_path: Path, shards: Path) -> None:
    write_tar(shards / "toy-validation-00.tar", samples(0, 3, classes=3))
    with pytest.raises(InvalidValue, match="1 class that the training data does not have: 2"):
        load_images(shards, "val")
    with pytest.raises(InvalidValue, match="no image with a label"):
        load_images(write_tar(tmp_path / "x" / "train.tar", [("readme.txt", b"x")]).parent)
    write_tar(tmp_path / "y" / "other.tar", samples(0, 4))
    with pytest.raises(InvalidValue, match="none with train or val"):
        load_images(tmp_path / "y")
    assert len(load_images(tmp_path / "y" / "other.tar")) == 2


def test_a_shard_that_changes_while_training_is_an_unreadable_image(shards: Path) -> None:
    train = load_images(shards, memory_bytes=10)
    path = shards / "toy-train-000001.tar"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnreadableImage, match="ends too early"):
        train.read(15)
    path.unlink()
    with pytest.raises(UnreadableImage, match="No such file"):
        train.read(15)


def test_archives_beside_unpacked_folders_are_passed_over(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        make_image(tmp_path / "train" / name / "0.png")
        make_image(tmp_path / "val" / name / "0.png")
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", samples(0, 4))
    assert load_images(tmp_path, "val").classes == ("ant", "bee")


def test_names_of_shards(tmp_path: Path) -> None:
    for name in ("imagenet1k-train-0000.tar", "imagenet_val.tar", "trainer.tar"):
        write_tar(tmp_path / name, [])
    assert [p.name for p in find_shards(tmp_path, "train")] == ["imagenet1k-train-0000.tar"]
    assert [p.name for p in find_shards(tmp_path, "val")] == ["imagenet_val.tar"]


def test_index_is_small(tmp_path: Path) -> None:
    import tracemalloc

    write_tar(tmp_path / "train.tar", samples(0, 1500, classes=10))
    tracemalloc.start()
    try:
        train = load_images(tmp_path, memory_bytes=10)
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(train) == 1200
    assert size < 1500 * 120
    assert peak < 1500 * 400
    assert len(pickle.dumps(train)) < 1500 * 80
