"""What fails or goes wrong unseen in the authors' code must not do so here.

Others of these have their tests where they belong: a late object on the CPU and frames before it was
shown (``test_late_object``, ``test_before_it_was_shown_there_is_nothing``), n frames for n
(``test_frame_counts``), the bicubic table of positions
(``test_position_table_is_resampled_as_by_pytorch``).
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from pocketeye.models import TAM, create_tam
from pocketeye.models.tam import MemoryRule
from pocketeye.tracking import ImageSegmenter, TorchEngine, Tracker, open_model
from pocketeye.tracking.video.options import Options
from tests.tracking.trackers import make_tracker, moving

A, B = [[30, 40]], [[90, 20]]
FRAMES = moving(12)
PARTS = ("image_encoder", "memory_attention", "memory_encoder", "prompt_encoder", "mask_decoder")
OTHER_THAN_DEFAULT: dict[str, Any] = {
    "max_prompted_maps": 1, "memory_budget_mb": 100.0, "binarize_click_masks": False,
    "stability_fallback": False, "hole_area": 0, "non_overlapping": True, "round_maps": False,
    "keep_images": False, "plain": True, "memory_rule": MemoryRule.VISIBLE,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("plain", [False, True])
def test_late_objects_in_every_precision(dtype, plain):
    """The authors' maps are bfloat16: without autocast, or without a pointer to join, it stops."""
    tracker = make_tracker(dtype=dtype)
    with tracker.open(FRAMES, plain=plain) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=3, points=B)
        found = {r.frame: r for r in session.run(stop=6)}
    assert [found[n].ids for n in (2, 3, 5)] == [(1,), (1, 2), (1, 2)]
    assert all(np.isfinite(r.logits).all() and r.logits.std() > 0 for r in found.values())


def test_every_option_is_tried():
    assert set(OTHER_THAN_DEFAULT) == {field.name for field in fields(Options)}
    for name, value in OTHER_THAN_DEFAULT.items():
        assert value != getattr(Options(), name)


@pytest.mark.parametrize("name", OTHER_THAN_DEFAULT)
def test_every_option_survives_corrections(tracker, name):
    """One of the authors' calls a method that does not exist, when an object is corrected."""
    value = OTHER_THAN_DEFAULT[name]
    with tracker.open(FRAMES, **{name: value}) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=1, points=B)
        for r in session.run(stop=6):
            if r.frame == 3:
                session.add(1, points=B, labels=[0], clear_old_points=False)
                session.add(2, points=A)
        session.add(1, frame=4, points=A)
        assert [r.ids for r in session.run(start=4, stop=8)] == [(1, 2)] * 4
        assert getattr(session.options, name) == value


def test_a_network_keeps_its_numbers_on_the_cpu():
    """The authors' builder loses them without CUDA: a bank of three frames stayed one of seven."""
    whole = create_tam("pocketeye_tam_pico", (96, 160))
    model = TAM(**{part: getattr(whole, part) for part in PARTS}, num_maskmem=3)
    with Tracker(TorchEngine(model, device="cpu")).open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        list(session.run(stop=9))
        reading = session._objects.memories[1].reading(9, False)
    assert reading is not None
    assert reading.slots == (2, 1, 0)


def test_two_frames_edited_in_turns_are_encoded_once(tracker, monkeypatch):
    """The authors keep the features of one frame only."""
    calls = []
    encode = tracker.engine._encoder.encode_image
    monkeypatch.setattr(
        tracker.engine._encoder, "encode_image", lambda x: (calls.append(1), encode(x))[1]
    )
    with tracker.open(FRAMES) as session:
        for points in (A, B, A):
            for frame in (2, 7):
                shown = session.add(1, frame=frame, points=points)
                assert np.array_equal(shown.image, FRAMES[frame])
        assert len(calls) == 2
        for frame in range(8):  # only the last few are kept
            session.add(1, frame=frame, points=A)
        session.add(1, frame=2, points=A)
        assert len(calls) == 2 + 7 + 1  # 2 was still there, and went


def test_nothing_is_compiled_unasked(monkeypatch):
    """The authors' image predictor compiles for minutes at its first image."""

    def compile_(*_: object, **__: object) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    model = open_model("pocketeye_tam_nano", untrained=True, device="cpu", image_size=64)
    assert not any("Optimized" in type(m).__name__ for m in model.modules())
    segmenter = ImageSegmenter(model)
    segmenter.set_image(FRAMES[0])
    assert len(segmenter.predict(points=A)) == 1


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("efficienttam_ti", (192, 192)),
        ("efficienttam_ti_2", (96, 160)),
        ("pocketeye_tam_nano", (768, 768)),
        ("pocketeye_tam_nano", (160, 96)),
    ],
)
def test_images_of_every_size_are_segmented(name, size):
    """The authors' predictor knows 1024 and 512, and takes others apart wrongly."""
    model = open_model(name, untrained=True, device="cpu", image_size=size)
    model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(50)  # else nothing is there
    segmenter = ImageSegmenter(model)
    segmenter.set_image(FRAMES[0])
    first = segmenter.predict(points=A)
    again = segmenter.predict([*A, *B], [1, 0], mask=first.logits)
    assert first.logits.shape == again.logits.shape == (1, size[0] // 4, size[1] // 4)
    assert again.masks.size == first.size == (FRAMES[0].shape[1], FRAMES[0].shape[0])
    assert not np.array_equal(first.logits, again.logits)


def test_precision_and_gradients_are_given_back():
    """The authors' applications switch autocast on for the whole process."""
    with make_tracker(dtype="bfloat16").open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        for _ in session.run(stop=3):
            assert not torch.is_autocast_enabled("cpu")
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
