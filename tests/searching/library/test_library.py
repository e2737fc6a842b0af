"""Candidates learn what the teacher does, alone, and what they cannot do is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketeye.errors import InvalidValue, UserError
from pocketeye.models.space import SearchSpace
from pocketeye.runs import RunFolder
from pocketeye.searching.library.chain import require_in_space
from pocketeye.searching.library.learn import first_supernet
from pocketeye.searching.library.stored import Library
from pocketeye.searching.library.task import LibraryTask
from tests.searching.toys import SPACE

from .toys import TEACHER, learn, teacher


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return learn(tmp_path_factory.mktemp("library"))


def own(array: Any) -> list[float]:
    return [
        row[SPACE.ops.index(block.op)] for row, block in zip(array, TEACHER.blocks, strict=True)
    ]


def test_the_teachers_own_blocks_cost_nothing(library: Library) -> None:
    for name in ("error", "kl", "loss"):
        assert own(library.swaps.score(name)) == [0.0] * 4
    assert own(library.swaps.agreement) == [1.0] * 4


def test_illegal_candidates_have_no_score_and_the_others_have(library: Library) -> None:
    legal = [[op in p.candidates for op in SPACE.ops] for p in SPACE.positions]
    for array in vars(library.swaps).values():
        assert np.array_equal(np.isfinite(array), legal)
    assert (library.swaps.kl[np.isfinite(library.swaps.kl)] >= 0).all()


def test_the_library_holds_the_teacher(library: Library) -> None:
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        ours = library.supernet.forward_path(images, library.teacher_columns)
        assert torch.equal(ours, teacher()(images))


def test_the_error_falls_while_candidates_learn(tmp_path: Path) -> None:
    learn(tmp_path, epochs=4, lr=0.003)
    errors = [row["error"] for row in RunFolder(tmp_path).metrics()]
    assert errors[-1] < 0.95 * errors[0]


def test_a_skip_has_nothing_to_learn(library: Library, tmp_path: Path) -> None:
    short, skip = learn(tmp_path, epochs=1), SPACE.ops.index("skip")
    assert library.swaps.error[1, skip] == pytest.approx(short.swaps.error[1, skip])
    assert library.swaps.error[1, SPACE.ops.index("k3_e1")] < library.swaps.error[1, skip]


def test_a_wide_candidate_begins_as_the_narrow_teacher() -> None:
    supernet = first_supernet(SPACE, teacher(), seed=0).eval()
    layer: Any = supernet.layers[1]
    images = torch.randn(2, 8, 8, 8)
    with torch.no_grad():
        expected = layer["k5_e3"](images)
        narrow = layer["k3_e1"](images)
    assert not torch.allclose(narrow, expected, atol=1e-3)
    bigger = SearchSpace.from_dict(
        {**SPACE.to_dict(), "candidates": ["k5_e3", "k5_e6", "k7_e3", "k3_e6"]}
    )
    wide: Any = first_supernet(bigger, teacher(), seed=0).eval().layers[1]
    with torch.no_grad():
        for op in ("k5_e6", "k7_e3"):
            assert torch.allclose(wide[op](images), expected, atol=1e-5)


def test_killed_and_resumed_equals_uninterrupted(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = LibraryTask.training_step
    with monkeypatch.context() as patch:

        def stop(self: LibraryTask, batch: Any, batch_idx: int) -> Any:
            if (self.current_epoch, batch_idx) == (2, 1):
                raise KeyboardInterrupt
            return step(self, batch, batch_idx)

        patch.setattr(LibraryTask, "training_step", stop)
        with pytest.raises(UserError, match="--resume"):
            learn(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("pocketeye.searching.library.learn.measure_swaps", _killed)
        with pytest.raises(RuntimeError):
            learn(tmp_path, resume=True)
    resumed = learn(tmp_path, resume=True)
    _same(resumed, library)
    _same(learn(tmp_path, resume=True), library)


def test_a_teacher_of_another_space_is_refused_by_its_layer(tmp_path: Path) -> None:
    other = SearchSpace.from_dict({**SPACE.to_dict(), "candidates": ["k3_e1", "k3_e3", "k3_e6"]})
    with pytest.raises(InvalidValue, match=r"k5_e3.* layer 2"):
        require_in_space(TEACHER, other, "the teacher")
    with pytest.raises(InvalidValue, match=r"tells 10 classes.* for 7"):
        require_in_space(TEACHER, SPACE.with_(num_classes=7), "the teacher")
    with pytest.raises(InvalidValue, match="another size"):
        require_in_space(TEACHER, SPACE.with_(input_size=12), "the teacher")


def _killed(*_: Any, **__: Any) -> None:
    raise RuntimeError


def _same(a: Library, b: Library) -> None:
    for name, array in vars(a.swaps).items():
        assert np.array_equal(array, getattr(b.swaps, name), equal_nan=True)
    state = b.supernet.state_dict()
    assert all(torch.equal(state[name], value) for name, value in a.supernet.state_dict().items())
