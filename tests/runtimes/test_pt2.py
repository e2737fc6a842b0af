"""A hostile .pt2 file is refused before torch sees it."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st

from pocketeye.errors import InvalidValue
from pocketeye.runtimes.torch.pt2 import load_pt2, save_pt2
from tests.reading.damage import LIGHT, damaged_bytes, damaged_tree, refusal
from tests.runtimes.nets import small_net

Files = dict[str, bytes]


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    save_pt2(torch.export.export(small_net(), (torch.zeros(1, 3, 16, 16),)), path)
    return path


def edited(source: Path, target: Path, edit: Callable[[Files], None]) -> Path:
    with zipfile.ZipFile(source) as archive:
        files = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    edit(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"m/{name}", data)
    return target


def pickled_inputs(files: Files) -> None:
    files["data/sample_inputs/model.pt"] = pickle.dumps(Bomb())


def pickled_weight(files: Files) -> None:
    config = json.loads(files["data/weights/model_weights_config.json"])
    next(iter(config["config"].values()))["use_pickle"] = True
    files["data/weights/model_weights_config.json"] = json.dumps(config).encode()
    files["data/weights/weight_0"] = pickle.dumps(Bomb())


def custom_object(files: Files) -> None:
    files["data/constants/opaque_obj_0"] = pickle.dumps(Bomb())


def legacy_weights(files: Files) -> None:
    files["data/weights/model.pt"] = pickle.dumps(Bomb())


def foreign_operator(files: Files) -> None:
    files["models/model.json"] = files["models/model.json"].replace(
        b"torch.ops.aten.linear.default", b"torch.hub.load"
    )


def guard_code(files: Files) -> None:
    program = json.loads(files["models/model.json"])
    program["guards_code"] = ["__import__('os').abort()"]
    files["models/model.json"] = json.dumps(program).encode()


def symbolic_size(files: Files) -> None:
    files["models/model.json"] = files["models/model.json"].replace(
        b'{"as_int": 10}', b'{"as_expr": {"expr_str": "__import__(1)", "hint": null}}'
    )


def lost_program(files: Files) -> None:
    del files["models/model.json"]


def test_rewritten_archive_is_fine(archive: Path, tmp_path: Path) -> None:
    path = edited(archive, tmp_path / "m.pt2", lambda files: None)
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(load_pt2(path)(x), small_net()(x))


@pytest.mark.parametrize(
    "edit",
    [pickled_inputs, pickled_weight, custom_object, legacy_weights, foreign_operator, guard_code,
     symbolic_size, lost_program],
)  # fmt: skip
def test_refused(archive: Path, tmp_path: Path, edit: Callable[[Files], None]) -> None:
    path = edited(archive, tmp_path / "m.pt2", edit)
    with pytest.raises(InvalidValue, match=r"m\.pt2"):
        load_pt2(path)


def test_a_member_that_unpacks_without_end_is_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as to:
        for name in source.namelist():
            to.writestr(name, bytes(64 << 20) if name.endswith("weight_0") else source.read(name))
    with pytest.raises(InvalidValue, match="weight_0', which unpacks"):
        load_pt2(path)


def test_damage_is_one_sentence(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        sound = {name.split("/", 1)[1]: opened.read(name) for name in opened.namelist()}
    texts = [name for name in sound if name.endswith(".json")]
    whole, path = archive.read_bytes(), tmp_path / "damaged.pt2"

    @LIGHT
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(texts))
        tree = data.draw(damaged_tree(json.loads(sound[name])))
        edited(archive, path, lambda files: files.update({name: tree.encode()}))
        assert "\n" not in (refusal(load_pt2, path) or "")
        path.write_bytes(data.draw(damaged_bytes(whole)))
        assert "\n" not in (refusal(load_pt2, path) or "")

    check()
