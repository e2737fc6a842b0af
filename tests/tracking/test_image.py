import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from pocketeye.errors import InvalidType, InvalidValue, MissingFile, UserError
from pocketeye.results import CompactMask
from pocketeye.tracking import ImageSegmenter, open_model
from tests.tracking.by_colour import MEAN, STD, ByColour, disc_mask, make_image

SIZE = (100, 60)
RED, BLUE = (25, 30, 14, (255, 0, 0)), (74, 22, 12, (0, 0, 255))
IMAGE = make_image(SIZE, [RED, BLUE])
CLICK_RED, CLICK_BLUE = [[26, 31]], [[74, 20]]


@pytest.fixture
def segmenter() -> ImageSegmenter:
    made = ImageSegmenter(ByColour())
    made.set_image(IMAGE)
    return made


@pytest.fixture(scope="module")
def real() -> ImageSegmenter:
    """A network with random weights: its masks mean nothing, but they depend on all it is told."""
    made = ImageSegmenter(
        open_model("pocketeye_tam_small", untrained=True, device="cpu", image_size=(96, 128))
    )
    made.set_image(np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8))
    return made


def iou(mask: CompactMask, disc) -> float:
    return mask.iou(CompactMask.from_dense(disc_mask(SIZE, disc)))


def test_a_click_gives_the_object_in_pixels_of_the_image(segmenter) -> None:
    for click, disc in ((CLICK_RED, RED), (CLICK_BLUE, BLUE)):
        result = segmenter.predict(click, [1])
        assert result.size == SIZE
        assert len(result) == 1
        assert iou(result.masks[0], disc) > 0.75
        assert result.scores.tolist() == pytest.approx([0.9])
        assert result.image.shape == IMAGE.shape
        assert result.logits.shape == (1, 32, 32)
    points, labels, _ = segmenter.model.network.prompts[0]
    assert points[0, 0].tolist() == pytest.approx([26 * 128 / 100, 31 * 128 / 60])
    assert labels.tolist() == [[1]]


def test_the_encoder_runs_once_per_image(segmenter) -> None:
    for _ in range(3):
        segmenter.predict(CLICK_RED)
    assert segmenter.model.network.encoded == 1
    segmenter.set_image([IMAGE] * 10)
    assert segmenter.model.network.encoded == 11
    segmenter.predict_batch([{"points": CLICK_RED}] * 10)
    assert segmenter.model.network.encoded == 11


def test_the_network_sees_what_the_official_image_predictor_shows(segmenter) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), np.uint8)
    (seen,) = segmenter.embed([noise])
    shares = torch.from_numpy(noise).permute(2, 0, 1).float() / 255
    expected = tv.normalize(tv.resize(shares, [128, 128], antialias=True), MEAN, STD)
    torch.testing.assert_close(seen.seen.feat[0], expected)


def test_several_images_of_several_sizes(segmenter) -> None:
    turned = IMAGE.transpose(1, 0, 2)
    segmenter.set_image([IMAGE, turned])
    first, second = segmenter.predict_batch(
        [{"points": CLICK_RED}, {"points": [CLICK_RED[0][::-1]]}]
    )
    assert first.size == second.size[::-1] == SIZE
    assert iou(CompactMask.from_dense(second.masks[0].dense().T), RED) > 0.75
    assert segmenter.predict(CLICK_RED, image=0).masks == first.masks
    with pytest.raises(InvalidValue, match=r"1 prompt.* 2 images"):
        segmenter.predict_batch([{"points": CLICK_RED}])
    with pytest.raises(InvalidValue, match="image 2 of 2"):
        segmenter.predict(CLICK_RED, image=2)


@pytest.mark.parametrize(
    "together",
    [
        {"points": [[[5, 5]], [[40, 30]], [[99, 59]]], "labels": [[1], [0], [1]]},
        {"points": [[[5, 5]], [[40, 30], [8, 9]], [[99, 59]]], "labels": [[1], [1, 0], [1]]},
        {"boxes": [[1, 2, 30, 40], [0, 0, 100, 60], [50, 1, 60.5, 9]]},
        {"boxes": [[1, 2, 30, 40], [0, 0, 100, 60]], "points": [[[5, 5]], [[9, 9]]]},
    ],
)
def test_objects_together_are_as_one_by_one(real, together) -> None:
    result = real.predict(**together)
    count = len(next(iter(together.values())))
    assert len(result) == count
    assert len({mask.bits for mask in result.masks}) == count, "the answers differ"
    for n in range(count):
        alone = real.predict(
            **{"box" if key == "boxes" else key: rows[n] for key, rows in together.items()}
        )
        np.testing.assert_allclose(result.logits[n], alone.logits[0], atol=1e-4)
        assert result.scores[n] == pytest.approx(alone.scores[0], abs=1e-5)


def test_three_answers_or_the_best_of_them(real, monkeypatch) -> None:
    monkeypatch.setattr(real.model.network, "stability_threshold", 0)  # random weights waver
    best = real.predict([[40, 30]])
    three = real.predict([[[40, 30]], [[5, 5]]], multimask=True)
    one = real.predict([[40, 30]], multimask=False)
    assert (len(best), len(three), len(one)) == (1, 6, 1)
    assert (np.diff(three.scores[:3]) <= 0).all()
    assert (np.diff(three.scores[3:]) <= 0).all()
    np.testing.assert_allclose(three.logits[0], best.logits[0], atol=1e-4)
    assert not np.allclose(one.logits, best.logits, atol=1e-3)
    two = [[40, 30], [41, 30]]
    np.testing.assert_array_equal(
        real.predict(two).logits, real.predict(two, multimask=False).logits
    )


def test_an_answer_is_refined_by_its_logits(segmenter, real) -> None:
    first = segmenter.predict(CLICK_RED)
    segmenter.predict(CLICK_RED, mask=first.logits[0] * 100)
    given = segmenter.model.network.prompts[-1][2]
    assert given.shape == (1, 1, 32, 32)
    assert given.abs().max() == 32
    first = real.predict([[40, 30]])
    refined = real.predict([[40, 30], [8, 8]], [1, 0], mask=first.logits)
    assert not np.allclose(refined.logits, real.predict([[40, 30], [8, 8]], [1, 0]).logits)
    assert len(real.predict(mask=first.logits[0])) == 1, "a mask alone is a prompt"


def test_a_drawn_mask_is_a_prompt(segmenter) -> None:
    drawn = disc_mask(SIZE, RED)
    for mask in (
        drawn,
        CompactMask.from_dense(drawn),
        [CompactMask.from_dense(drawn)],
        drawn[None],
    ):
        segmenter.predict(CLICK_RED, mask=mask)
        given = segmenter.model.network.prompts[-1][2][0, 0]
        assert (given.min().item(), given.max().item()) == pytest.approx((-10, 10))
        filled = torch.nn.functional.interpolate(given[None, None], size=(60, 100), mode="bilinear")
        assert iou(CompactMask.from_dense((filled[0, 0] > 0).numpy()), RED) > 0.9


def test_holes_and_specks(segmenter) -> None:
    logits = np.full((1, 32, 32), -5.0)
    logits[0, 8:24, 8:24] = 5.0
    logits[0, 15, 15] = -5.0  # a hole
    logits[0, 2, 2] = 5.0  # a speck
    clean = ImageSegmenter(ByColour(), hole_area=2, speck_area=2)
    (mask,) = clean.compact(logits, (32, 32))
    assert mask.area == 16 * 16
    assert mask.box == (8, 8, 24, 24)
    (raw,) = segmenter.compact(logits, (32, 32))
    assert raw.box[:2] != (8, 8)


def test_images_from_everywhere(segmenter, tmp_path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path)
    opaque = Image.fromarray(IMAGE).convert("RGBA")
    frozen = IMAGE.copy()
    frozen.setflags(write=False)
    for image in (path, str(path), opaque, frozen, IMAGE[:, ::-1][:, ::-1]):
        segmenter.set_image(image)
        assert iou(segmenter.predict(CLICK_BLUE).masks[0], BLUE) > 0.75
    segmenter.set_image(IMAGE[..., 0])
    assert segmenter.predict(CLICK_RED).image.shape == IMAGE.shape
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(IMAGE).save(tmp_path / "turned.png", exif=exif)
    segmenter.set_image(tmp_path / "turned.png")
    assert segmenter.predict([[0, 0]]).size == SIZE[::-1]


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ({"points": [[100, 5]]}, r"the point 100,5 is outside the image of 100x60 pixels"),
        ({"points": [[5, -1]]}, r"the point 5,-1 is outside"),
        ({"points": [5, 5]}, r"points must have the shape \(N, 2\)"),
        ({"points": [[5, 5, 5]]}, r"points must have the shape \(N, 2\), x and y of each"),
        ({"points": [["a", "b"]]}, r"points must be numbers, got \[\['a'"),
        ({"points": [[float("nan"), 1]]}, r"points must be finite"),
        ({"points": [[5, 5]], "labels": [1, 0]}, r"2 labels for 1 points"),
        ({"points": [[5, 5]], "labels": [2]}, r"a label is 1 \(in the object\) or 0 .*, got 2"),
        ({"labels": [1]}, r"1 labels without points"),
        ({"box": [30, 20, 10, 40]}, r"box 30,20,10,40 is not .* did you mean 10,20,30,40\?"),
        ({"box": [5, 5, 5, 9]}, r"has no area"),
        ({"box": [5, 5, 101, 9]}, r"is not inside the image of 100x60"),
        ({"box": [5, 5, 9]}, r"a box is four numbers"),
        ({"boxes": [5, 5, 9, 9]}, r"boxes must have the shape \(objects, 4\)"),
        ({"box": [1, 1, 2, 2], "boxes": [[1, 1, 2, 2]]}, r"either box .* or boxes"),
        ({"boxes": [[1, 1, 9, 9]] * 2, "points": [[5, 5]]}, r"points of 1, boxes of 2\?"),
        ({"mask": np.zeros((8, 9))}, r"logits of an earlier answer, 32x32: got numbers of 9x8"),
        ({"mask": np.zeros((8, 9), bool)}, r"bool mask of the image, 100x60, .* bool of 9x8"),
        ({}, r"nothing was asked for: give points, a box or a mask"),
        ({"points": []}, r"nothing was asked for"),
        ({"points": np.zeros((0, 2))}, r"nothing was asked for"),
        ({"boxes": np.zeros((0, 4))}, r"nothing was asked for"),
    ],
)  # fmt: skip
def test_bad_prompts(segmenter, prompt, sentence) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        segmenter.predict(**prompt)
    assert "\n" not in str(caught.value)
    assert len(segmenter.predict(CLICK_RED)) == 1, "the image is still set"


def test_bad_images(segmenter, tmp_path) -> None:
    with pytest.raises(InvalidValue, match=r"no image .*set_image"):
        ImageSegmenter(ByColour()).predict(CLICK_RED)
    (tmp_path / "text.png").write_text("no")
    for image, kind, sentence in (
        (tmp_path / "none.png", MissingFile, "no image at"),
        (tmp_path, InvalidValue, "is a folder: name one image in it"),
        (tmp_path / "text.png", InvalidValue, "cannot be read: not an image"),
        (7, InvalidType, "is a int"),
        ([], InvalidValue, "empty list"),
        (np.full((4, 4, 3), 7.0), InvalidValue, "floats go from 0 to 1"),
        (np.zeros((4, 4, 5), np.uint8), InvalidValue, r"is uint8 of shape \(4, 4, 5\)"),
        (np.zeros(4, np.uint8), InvalidValue, r"shape \(4,\)"),
    ):
        with pytest.raises(kind, match=sentence):
            segmenter.set_image(image)
    assert len(segmenter.predict(CLICK_RED)) == 1
