"""Every argument of every verb, in every form that people give it."""

import inspect
import math
import typing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketeye
from pocketeye.arguments import RANGES, _described, _kinds, _takes_more, accepting, brought
from pocketeye.cli import main
from pocketeye.cli._source import signature_of
from pocketeye.cli._verbs import VERBS, source_module
from pocketeye.errors import InvalidType, InvalidValue

PUBLIC = [name for name in pocketeye.__all__ if pocketeye._PLACES.get(name, "").startswith("verbs")]


def arguments(function: str) -> dict[str, typing.Any]:
    return dict(_described(inspect.unwrap(getattr(pocketeye, function)))[1])


def numbers() -> list[tuple[tuple[str, ...], str, tuple[typing.Any, ...]]]:
    """Return command, option and types of every option of every verb that is a number."""
    found = []
    for verb, known in VERBS.items():
        for task, (module, name) in (
            {"": (known, known)} if isinstance(known, str) else known
        ).items():
            signature, _ = signature_of(source_module(module) or "", name)
            words = [verb, task] if task else [verb]
            options: dict[str, typing.Any] = {}
            for p in signature.parameters.values():
                if p.kind is inspect.Parameter.VAR_KEYWORD:
                    options |= typing.get_type_hints(typing.get_args(p.annotation)[0])
                    continue
                options[p.name] = p.annotation
                if p.default is inspect.Parameter.empty:
                    named = [f"--{p.name.replace('_', '-')}"] * (p.kind is p.KEYWORD_ONLY)
                    number = int in _kinds(p.annotation) or float in _kinds(p.annotation)
                    words.append("=".join([*named, "3" if number else "x"]))
            for option, hint in options.items():
                if {int, float} & set(_kinds(hint)):
                    dashed = f"--{option.replace('_', '-')}="
                    others = tuple(word for word in words if not word.startswith(dashed))
                    found.append((others, option, _kinds(hint)))
    return found


@pytest.mark.parametrize(
    ("words", "option", "kinds"), numbers(), ids=lambda v: v if isinstance(v, str) else None
)
def test_numbers_out_of_range_are_refused_with_the_range(capsys, words, option, kinds) -> None:
    assert option in RANGES, f"say in RANGES how large {option} may be"
    low, high = RANGES[option]
    bad = [low - 1, high * 10, *([] if int in kinds else [math.nan, math.inf, -math.inf])]
    bad += ["1.5", "nan", "big", ""] if kinds == (int,) else []
    if str in kinds:  # such as 480x360, of which the verb says itself what is wrong
        bad = ["0", "-1", "0x0", "1.5", "nan"]
    for value in bad:
        assert main([*words, f"--{option.replace('_', '-')}={value}"]) == 2, value
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        if not isinstance(value, str):
            assert f"--{option.replace('_', '-')} must be from" in error


@pytest.mark.parametrize("function", PUBLIC)
def test_text_and_paths_one_and_many(function: str) -> None:
    for name, hint in arguments(function).items():
        kinds = _kinds(hint)
        lists = [kind for kind in kinds if typing.get_origin(kind) in (list, tuple)]
        for kind in lists:
            inner = typing.get_args(kind)[0]
            if inner not in (str, Path) or name in ("point", "box"):
                continue
            origin = typing.get_origin(kind)
            for lone in ("a/b.jpg", Path("a/b.jpg")):
                assert brought(name, lone, hint) == origin([inner("a/b.jpg")])
            for many in ([Path("a"), "b"], ("a", Path("b"))):
                assert brought(name, many, hint) == origin([inner("a"), inner("b")])
            if name != "videos" and not _takes_more(hint):
                assert brought(name, (text for text in "ab"), hint) == origin(
                    [inner("a"), inner("b")]
                )
                for wrong in (5, b"a", {"a": 1}, ["a", None], [b"a"]):
                    with pytest.raises(InvalidType, match=f"{name} is a text or a path, or a list"):
                        brought(name, wrong, hint)
        if not lists and Path in kinds:
            assert brought(name, "a", hint) == brought(name, Path("a"), hint) == Path("a")
            with pytest.raises(InvalidValue, match=name):
                brought(name, "", hint)
            with pytest.raises(InvalidType, match=name):
                brought(name, b"a", Path | None)
        elif kinds == (str,) and name != "box":
            assert brought(name, Path("a"), hint) == "a"


@pytest.mark.parametrize("function", PUBLIC)
def test_numbers_flags_and_words(function: str) -> None:
    for name, hint in arguments(function).items():
        kinds = _kinds(hint)
        if kinds == (int,):
            low = int(RANGES[name][0])
            for given in (low, float(low), np.int64(low), np.array(low)):
                value = brought(name, given, hint)
                assert (value, type(value)) == (low, int)
            for wrong in (True, "3", [3]):
                with pytest.raises(InvalidType, match=f"{name} is a whole number"):
                    brought(name, wrong, hint)
            with pytest.raises(InvalidValue, match=f"{name} is a whole number, got 1.5"):
                brought(name, 1.5, hint)
        elif kinds == (float,):
            value = brought(name, np.float32(0.5), hint)
            assert (value, type(value)) == (0.5, float)
            with pytest.raises(InvalidValue, match=f"{name} must be from"):
                brought(name, math.nan, hint)
        elif kinds == (bool,):
            assert brought(name, np.bool_(True), hint) is True
            for wrong in ("yes", 1):
                with pytest.raises(InvalidType, match=f"{name} is either True or False"):
                    brought(name, wrong, hint)
        elif any(typing.get_origin(kind) is typing.Literal for kind in kinds):
            with pytest.raises(InvalidValue, match=f"unknown {name} 'nonsense'"):
                brought(name, "nonsense", hint)


def test_points_and_boxes_as_numbers() -> None:
    points, box = list[str] | None, str | None
    assert brought("point", (3, 4.5), points) == ["3.0,4.5"]
    assert brought("point", [(3, 4), [5, 6, 0], "7,8"], points) == ["3.0,4.0", "5.0,6.0:0", "7,8"]
    assert brought("point", np.array([[3, 4], [5, 6]]), points) == ["3.0,4.0", "5.0,6.0"]
    assert brought("box", (1, 2, 3, 4), box) == "1.0,2.0,3.0,4.0"
    assert brought("box", np.ones((2, 4)), points) == ["1.0,1.0,1.0,1.0"] * 2
    with pytest.raises(InvalidValue, match="box takes one, got 2"):
        brought("box", np.ones((2, 4)), box)
    with pytest.raises(InvalidType, match=r"point is given as numbers, \(x, y\)"):
        brought("point", 3, points)
    for nested in ([[]], [[(1, 2), (3, 4)]], [None]):
        with pytest.raises(InvalidType, match=r"point is given as numbers, \(x, y\)"):
            brought("point", nested, points)


def test_an_argument_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(InvalidType, match=r"'batchsize'\. Did you mean 'batch_size'\?"):
        pocketeye.train_classifier(batchsize=3)
    with pytest.raises(InvalidType, match="missing a required"):
        pocketeye.train_detector()


def test_the_wrapped_function_is_described_as_itself() -> None:
    def verb(model: str, *, out: Path | None = None) -> tuple[str, Path | None]:
        """Do it."""
        return model, out

    assert accepting(verb)(Path("m"), out="o") == ("m", Path("o"))
    assert accepting(verb).__doc__ == "Do it."
    assert inspect.signature(accepting(verb)) == inspect.signature(verb)


def test_dir_shows_what_is_public() -> None:
    assert dir(pocketeye) == sorted(pocketeye.__all__)
    for name in pocketeye.__all__:
        assert getattr(pocketeye, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'predikt'"):
        _ = pocketeye.predikt


NETWORK = "casvit_xs.tiny_imagenet_24"


def test_predict_takes_images_in_every_form(tmp_path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(levels).save(path)
    same = [
        str(path), path, [path], (str(path),), Image.fromarray(levels), levels, [levels], levels[None],
        levels / 255.0, (levels / 255.0).astype(np.float32), np.dstack([levels, levels[..., :1] | 255]),
    ]  # fmt: skip
    expected = pocketeye.predict(NETWORK, path).predictions[0]
    for given in same:
        (found,) = pocketeye.predict(NETWORK, given).predictions
        assert found.classes == expected.classes
        assert found.probabilities == pytest.approx(expected.probabilities)
    mixed = pocketeye.predict(NETWORK, [path, levels, Image.fromarray(levels)]).predictions
    assert [found.name for found in mixed] == [str(path), "image 1", "image 2"]
    gray = Image.fromarray(levels).convert("L")
    results = [pocketeye.predict(NETWORK, image) for image in (gray, np.asarray(gray))]
    assert results[0].predictions == results[1].predictions


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (5, InvalidType, "images are paths, PIL images or arrays, got int"),
        ([5], InvalidType, "image 0 is a int"),
        (np.zeros((3, 8, 8)), InvalidValue, r"transpose\(1, 2, 0\)"),
        (np.full((8, 8, 3), 200.0), InvalidValue, "floats go from 0 to 1"),
        (np.full((8, 8, 3), np.nan), InvalidValue, "floats go from 0 to 1"),
        (np.zeros((8, 8, 3), int), InvalidValue, "int64"),
        (np.zeros((0, 8, 3), np.uint8), InvalidValue, "no pixels"),
        ([], InvalidValue, "say what to look at"),
    ],
)  # fmt: skip
def test_what_is_no_image(given, kind, said) -> None:
    with pytest.raises(kind, match=said):
        pocketeye.predict(NETWORK, given)


def test_segment_takes_images_and_points_in_every_form(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    levels = np.zeros((48, 64, 3), np.uint8)
    levels[10:30, 10:40] = (220, 30, 30)
    Image.fromarray(levels).save("photo.png")
    first = pocketeye.segment("photo.png", point="20,20").found.masks.to_rle()
    for image in (Path("photo.png"), Image.fromarray(levels), levels):
        found = pocketeye.segment(image, point=(20, 20), overwrite=True)
        assert found.found.masks.to_rle() == first
    both = pocketeye.segment([levels, "photo.png"], point=[(20, 20)])
    assert [each.image for each in both] == ["image", "photo.png"]
    assert [each.found.masks.to_rle() for each in both] == [first, first]
    assert [path.name for path in both.written()] == ["0000-image.png", "0001-photo.png"]
    assert len(both.to_dict()["rest"]) == 1
    with pytest.raises(InvalidValue, match="several images is a folder"):
        pocketeye.segment([levels, levels], point=(20, 20), out="a.png")
