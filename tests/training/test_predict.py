"""Predicting images, the contact sheet, and class names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pocketeye.data import ImageSet, load_images
from pocketeye.data.inputs import find_inputs
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.metrics import classification_report
from pocketeye.models import Architecture, create_model
from pocketeye.predicting import contact_sheet
from pocketeye.predicting.class_names import imagenet_classes, match_classes, read_classes
from pocketeye.predicting.contact_sheet import CELL, save_contact_sheet
from pocketeye.predicting.evaluation.classification import evaluate
from pocketeye.predicting.evaluation.figures import save_calibration, save_confusion
from pocketeye.predicting.info import ModelInfo
from pocketeye.predicting.open_predictor import info_of, open_predictor
from pocketeye.predicting.predict import Prediction, predict
from pocketeye.predicting.predictor import Predictor, TorchPredictor
from pocketeye.results.figures import short
from tests.data.layouts import encoded, samples, write_tar

FIGURES = True
Sets = tuple[ImageSet, ImageSet]


class Brightness(Predictor):
    """Ten classes by the mean of the image."""

    def __init__(self, in_chans: int = 1, classes: tuple[str, ...] = tuple("abcdefghij")) -> None:
        info = ModelInfo.default("brightness", classes, in_chans, 8)
        super().__init__(replace(info, mean=(0.0,) * in_chans, std=(1.0,) * in_chans))

    def logits(self, x: Tensor) -> np.ndarray:
        mean = x.mean(dim=(1, 2, 3)).numpy()[:, None]
        steps = np.linspace(0, 1, self.info.num_classes)[None]
        return (-50 * (mean - steps) ** 2).astype(np.float32)


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Ten grey images of ten sizes, and a broken one."""
    for index in range(10):
        size = (9 + 40 * index, 12 + 3 * index)
        Image.new("L", size, round(index * 255 / 9)).save(tmp_path / f"{index}.png")
    (tmp_path / "5x.png").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("batch_size", [1, 3, 99])
def test_predicting_files(greys: Path, batch_size: int) -> None:
    images, _ = find_inputs([greys])
    rows, problems = predict(Brightness(), images, topk=3, batch_size=batch_size, thumbnails=4)
    assert problems == [f"{greys / '5x.png'}: not an image"]
    assert [row.name for row in rows] == [str(greys / f"{i}.png") for i in range(10)]
    assert [row.classes[0] for row in rows] == list("abcdefghij")
    assert all(len(row.classes) == len(row.probabilities) == 3 for row in rows)
    assert all(list(row.probabilities) == sorted(row.probabilities)[::-1] for row in rows)
    assert [row.thumbnail is not None for row in rows] == [True] * 4 + [False] * 6
    assert all(max(row.thumbnail.size) <= CELL for row in rows[:4] if row.thumbnail)
    everything, _ = predict(Brightness(), images[:1], topk=99)
    assert sum(everything[0].probabilities) == pytest.approx(1.0)


def test_prediction_mistakes(greys: Path) -> None:
    images, _ = find_inputs([greys])
    broken = [item for item in images if item.name.endswith("x.png")]
    with pytest.raises(InvalidValue, match=r"none of 1 images can be read; first: .*not an image"):
        predict(Brightness(), broken)
    for options in ({"topk": 0}, {"batch_size": 0}):
        with pytest.raises(InvalidValue, match="must be at least 1"):
            predict(Brightness(), images, **options)


def test_contact_sheet(greys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = find_inputs([greys])
    rows, _ = predict(Brightness(), images, topk=2, thumbnails=99)
    sheet = Image.open(save_contact_sheet(rows, greys / "sheet.png", "a title " * 40))
    assert sheet.mode == "RGB"
    columns, lines = 4, 3
    assert sheet.width == columns * (CELL + 14) + 14
    assert (sheet.height - 42) % lines == 0
    # the middle of every cell is its image
    for place, row in enumerate(rows):
        x = 14 + place % columns * (CELL + 14) + CELL // 2
        y = 42 + place // columns * ((sheet.height - 42) // lines) + 18 + CELL // 2
        assert row.thumbnail is not None
        assert sheet.getpixel((x, y)) == (round(place * 255 / 9),) * 3
    # the bar of the first line is as long as its probability
    bar = [sheet.getpixel((14 + i, 42 + 18 + CELL + 4)) for i in range(CELL)]
    assert bar.count((201, 218, 238)) == round(rows[0].probabilities[0] * CELL)
    monkeypatch.setattr(contact_sheet, "MOST_IMAGES", 3)
    with Image.open(save_contact_sheet(rows, greys / "few.png", "few")) as few:
        assert few.height < sheet.height


def test_images_of_one_name_show_their_folder() -> None:
    named = ("a/cat/1.jpg", "a/dog/1.jpg", "a/dog/2.jpg", "1.jpg")
    rows = [Prediction(name=name, classes=("x",), probabilities=(1.0,)) for name in named]
    assert contact_sheet._names(rows) == ["cat/1.jpg", "dog/1.jpg", "2.jpg", "1.jpg"]


def test_short_names() -> None:
    assert short("tench, Tinca tinca", 18) == "tench, Tinca tinca"
    assert short("tench, Tinca tinca", 17) == "tench"
    assert short("suspension bridge", 8) == "suspens…"


def test_class_names_of_imagenet() -> None:
    names = imagenet_classes()
    assert len(set(names)) == len(names) == 1000
    assert names[0] == "tench, Tinca tinca"
    assert names[134] == "crane (n02012849)"
    module = create_model("fbnet_c")
    assert info_of(module, "fbnet_c").classes == names
    wnids = ("n01440764", "n02012849", "n03126707")
    assert match_classes(wnids, names, "x").tolist() == [0, 134, 517]
    assert match_classes(("American alligator", "barn", "Tench"), names, "x").tolist() == [
        50,
        425,
        0,
    ]
    assert match_classes([str(i) for i in range(1000)], names, "x").tolist() == list(range(1000))
    # a network trained on folders of ids, judged on names
    assert match_classes(("barn",), ("n01440764", "n02793495"), "x").tolist() == [1]
    foreign = tuple(f"mine {i}" for i in range(1000))
    predictor = TorchPredictor(
        module, info_of(module, "fbnet_c"), torch.device("cpu"), assumed=True
    )
    predictor.adopt_names(wnids)  # too few to be all
    predictor.adopt_names(tuple(str(i) for i in range(1000)))  # ImageNet's by number
    assert predictor.info.classes == names
    predictor.adopt_names(foreign)
    assert predictor.info.classes == foreign
    with pytest.raises(InvalidValue, match=r"1 classes the network was not trained on \(gnu\?\)"):
        match_classes(("barn", "gnu?"), names, "x")
    with pytest.raises(InvalidValue, match="one class of the network"):
        match_classes(("barn", "n02793495"), names, "x")
    # numbers are places only where all are there
    with pytest.raises(InvalidValue, match="not trained on"):
        match_classes(("0", "1"), ("a", "b", "c"), "x")


def test_all_classes_of_real_data_are_imagenets(datasets: Path) -> None:
    classes = load_images(datasets / "tiny-imagenet-24", "val").classes
    places = match_classes(classes, imagenet_classes(), "tiny")
    for name, place in zip(classes, places, strict=True):
        assert name in imagenet_classes()[place]


def test_reading_class_names(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffant\r\n\nB\u00e4r \n".encode())
    assert read_classes(path) == ("ant", "Bär")
    for content, message in ((b"\n", "names no classes"), (b"a\nb\na\n", "twice: a"),
                             (b"\xff\xfe", "no text in UTF-8")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(InvalidValue, match=message):
            read_classes(path)
    with pytest.raises(MissingFile, match="no file of class names"):
        read_classes(tmp_path / "other.txt")


def test_class_names_for_a_bare_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "architecture.json"
    Architecture.parse("net@16=conv3:3>8/2|head16:8>3/1").save(path)
    for outputs in (3, 5):  # as many as the file says, and not
        weights = create_model(path, num_classes=outputs).state_dict()
        save_file(weights, tmp_path / f"{outputs}.safetensors")
        (tmp_path / f"{outputs}.txt").write_text("\n".join("abcde"[:outputs]))
    for outputs in (3, 5):
        predictor = open_predictor(
            path, checkpoint=tmp_path / f"{outputs}.safetensors", names=tmp_path / f"{outputs}.txt",
            device="cpu",
        )  # fmt: skip
        assert predictor.info.classes == tuple("abcde"[:outputs])
        assert predictor.logits(torch.zeros(1, 3, 16, 16)).shape == (1, outputs)
    with pytest.raises(InvalidValue, match=r"5\.txt names 5 classes, but .* has 3"):
        open_predictor(path, checkpoint=tmp_path / "3.safetensors", names=tmp_path / "5.txt")
    (tmp_path / "4.txt").write_text("a\nb\nc\nd")
    with pytest.raises(InvalidValue, match=r"4\.txt names 4 classes, but .* has 5"):
        open_predictor(path, checkpoint=tmp_path / "5.safetensors", names=tmp_path / "4.txt")


@pytest.mark.parametrize("workers", [0, 1])
def test_judging_goes_on_without_damaged_images(tmp_path: Path, workers: int) -> None:
    cut = encoded(200)[:45]
    extra = [("x.png", cut), ("x.cls", b"1"), ("y.png", encoded(250)), ("y.cls", b"0")]
    write_tar(tmp_path / "train.tar", samples(0, 4))
    write_tar(tmp_path / "val.tar", [*samples(0, 5), *extra])
    predictor = Brightness(3, ("0", "1"))
    val = load_images(tmp_path, "val", memory_bytes=10)
    result = evaluate(predictor, val, batch_size=2, workers=workers)
    assert (len(val), result.report.n) == (7, 6)
    assert result.problems == ("val.tar/x: cannot be read",)
    whole = evaluate(predictor, load_images(tmp_path, "val"), batch_size=2)
    assert result.report.confusion.tolist() == whole.report.confusion.tolist()
    only = val.subset(np.array([5]))
    with pytest.raises(InvalidValue, match="none of the 1 images"):
        evaluate(predictor, only)


@pytest.mark.parametrize("count", [3, 30, 31, 450])
def test_images_of_an_evaluation(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(count, size=900)
    logits = rng.normal(size=(900, count)).astype(np.float32)
    logits[np.arange(900), labels] += 2
    report = classification_report(logits, labels, [f"class {i}, or {i}" for i in range(count)])
    for draw, drawn in ((save_confusion, report.table), (save_calibration, report)):
        with Image.open(draw(drawn, tmp_path / "x.png", "a title")) as image:
            assert min(image.size) > 350
            assert len(set(image.convert("L").resize((200, 200)).tobytes())) > 20
