"""load_checkpoint: official layouts, our own, and files that must be refused."""

from __future__ import annotations

import os
import pickle
from pathlib import PurePath

import pytest
import torch
from safetensors.torch import save_file

import pocketeye
from pocketeye.errors import InvalidValue, MissingFile
from tests.conftest import randomise_bn
from tests.models.mobile_cv_reference import MobileCVFBNet, official_checkpoint


# Number of tensors in the released files (fact sheet, section 3).
@pytest.mark.parametrize(("letter", "tensors"), [("a", 380), ("b", 408), ("c", 436)])
def test_mobile_cv_weights_give_mobile_cv_logits(letter, tensors, tmp_path):
    ours = pocketeye.create_model(f"fbnet_{letter}_mobile_cv", num_classes=11)
    torch.manual_seed(0)
    reference = randomise_bn(MobileCVFBNet(ours.architecture)).eval()
    checkpoint = official_checkpoint(reference)
    assert len(checkpoint["model_ema"]) == tensors
    torch.save(checkpoint, tmp_path / "model.pth")
    pocketeye.load_checkpoint(ours, tmp_path / "model.pth")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = reference(x)
        torch.testing.assert_close(
            ours.eval()(x), expected, rtol=0, atol=1e-4 * expected.std().item()
        )


def test_mobile_cv_weights_do_not_fit_the_paper_form():
    reference = MobileCVFBNet(pocketeye.create_model("fbnet_c_mobile_cv").architecture)
    with pytest.raises(InvalidValue, match="fit fbnet_c: 15 missing"):
        pocketeye.load_checkpoint(pocketeye.create_model("fbnet_c"), reference.state_dict())


def test_our_keys_round_trip(tmp_path):
    model = randomise_bn(pocketeye.create_model("fbnet_a", num_classes=3))
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    again = pocketeye.load_checkpoint(
        pocketeye.create_model("fbnet_a", num_classes=3), tmp_path / "w.safetensors"
    )
    assert list(again.state_dict()) == list(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_what_does_not_fit_is_counted_and_named():
    state = pocketeye.create_model("fbnet_a", num_classes=3).state_dict()
    model = pocketeye.create_model("fbnet_a", num_classes=4)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    del state["conv_stem.weight"]
    state["extra"] = torch.zeros(1)
    with pytest.raises(InvalidValue) as caught:
        pocketeye.load_checkpoint(model, state)
    text = str(caught.value)
    assert "1 missing (conv_stem.weight)" in text
    assert "1 unexpected (extra)" in text
    assert "classifier.weight (3, 1504), here (4, 1504)" in text
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_another_network_is_refused_by_its_blocks():
    with pytest.raises(InvalidValue, match=r"19 blocks .*21"):
        pocketeye.load_checkpoint(
            pocketeye.create_model("fbnet_c"), pocketeye.create_model("fbnet_a").state_dict()
        )


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_hostile_checkpoint_runs_no_code(tmp_path):
    torch.save({"model": _Hostile(str(tmp_path / "owned"))}, tmp_path / "evil.pth")
    with pytest.raises(InvalidValue, match="could run foreign code"):
        pocketeye.load_checkpoint(pocketeye.create_model("fbnet_96_035_1"), tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("keep", [0, 7, 900, 5000])
def test_truncated_files_are_one_sentence(tmp_path, suffix, keep):
    model = pocketeye.create_model("fbnet_96_035_1", num_classes=2)
    path = tmp_path / f"w.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidValue) as caught:
        pocketeye.load_checkpoint(model, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ". " not in str(caught.value)


def test_files_of_something_else(tmp_path):
    model = pocketeye.create_model("fbnet_96_035_1")
    (tmp_path / "a.pt").write_text("hello")
    with pytest.raises(InvalidValue, match=r"a\.pt is truncated[^:]*$"):
        pocketeye.load_checkpoint(model, tmp_path / "a.pt")
    # not of the protocol that torch writes, of which it warns
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"model": PurePath("x")}, protocol=4))
    with pytest.raises(InvalidValue, match=r"b\.pt is refused"):
        pocketeye.load_checkpoint(model, tmp_path / "b.pt")


def test_files_that_hold_no_weights(tmp_path):
    model = pocketeye.create_model("fbnet_96_035_1")
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(InvalidValue, match="'epoch' is not a tensor"):
        pocketeye.load_checkpoint(model, tmp_path / "a.pth")
    torch.save([1, 2], tmp_path / "b.pth")
    with pytest.raises(InvalidValue, match="holds no weights"):
        pocketeye.load_checkpoint(model, tmp_path / "b.pth")
    with pytest.raises(MissingFile, match=r"none\.pth"):
        pocketeye.load_checkpoint(model, tmp_path / "none.pth")


def test_unknown_names_have_a_suggestion():
    with pytest.raises(InvalidValue, match="Did you mean 'fbnet_c'"):
        pocketeye.create_model("fbnet_cc")
    with pytest.raises(MissingFile, match="no network at some/folder"):
        pocketeye.create_model("some/folder")
    with pytest.raises(InvalidValue, match=r"no weights of .* can be fetched"):
        pocketeye.create_model("fbnet_a", pretrained=True)


def test_offline_the_error_says_what_to_do():
    with pytest.raises(InvalidValue, match=r"timm/fbnetc_100\.rmsp_in1k.*load_checkpoint"):
        pocketeye.create_model("fbnet_c", pretrained=True)


def test_models_from_files(tmp_path):
    model = pocketeye.create_model("fbnet_a", num_classes=5, in_chans=1)
    model.architecture.save(tmp_path / "architecture.json")
    save_file(model.state_dict(), tmp_path / "best.safetensors")
    x = torch.randn(1, 1, 64, 64)
    loaded = pocketeye.create_model(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(loaded(x), model.eval()(x))
    fresh = pocketeye.create_model(tmp_path / "architecture.json", features_only=True)
    assert [m.shape[1] for m in fresh(x)] == [16, 24, 32, 112, 352]
