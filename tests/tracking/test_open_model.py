import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import create_tam
from pocketeye.models.tam import checkpoints, published
from pocketeye.models.tam.checkpoints import bundled_weights
from pocketeye.tracking import load_tracker
from pocketeye.tracking.networks import open_model, weights_here

PICO = "pocketeye_tam_pico"


def test_a_checkpoint_is_loaded(tmp_path) -> None:
    torch.manual_seed(7)
    theirs = create_tam(PICO, 64)
    torch.save({"model": theirs.state_dict()}, tmp_path / "mine.pt")
    model = open_model(PICO, checkpoint=tmp_path / "mine.pt", device="cpu", image_size=64)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    for key, value in theirs.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_the_published_file_is_found_and_verified(tmp_path, monkeypatch) -> None:
    name = "efficienttam_ti"
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path))
    assert weights_here(name) is None
    path = tmp_path / f"{name}.pt"
    torch.save({"model": create_tam(name, 64).state_dict()}, path)
    assert weights_here(name) == path
    with pytest.raises(InvalidValue, match="not the published file"):
        open_model(name, image_size=64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = {name: replace(checkpoints.PUBLISHED[name], sha256=digest)}
    monkeypatch.setattr(checkpoints, "PUBLISHED", published)
    assert open_model(name, device="cpu", image_size=64).variant == name


def test_weights_that_come_with_the_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(published, "_BUNDLED", tmp_path)
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path / "nowhere"))
    assert weights_here(PICO) is None
    assert bundled_weights(PICO) is None
    torch.manual_seed(7)
    theirs = create_tam(PICO).state_dict()
    save_file(theirs, tmp_path / f"{PICO}.safetensors")
    assert bundled_weights(PICO) == weights_here(PICO) == tmp_path / f"{PICO}.safetensors"
    key = "prompt_encoder.no_mask_embed.weight"
    for model in (open_model(PICO, device="cpu"), load_tracker(PICO, device="cpu").engine.model):
        assert torch.equal(model.state_dict()[key], theirs[key])
    for name in ("efficienttam_ti", "pocketeye_tam_small"):
        with pytest.raises(MissingFile, match=f"take {PICO}"):
            open_model(name)


def test_untrained_is_the_same_each_time_and_leaves_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = (open_model(PICO, untrained=True, device="cpu", image_size=64) for _ in "ab")
    assert torch.equal(torch.random.get_rng_state(), before)
    key = "prompt_encoder.no_mask_embed.weight"
    assert torch.equal(first.state_dict()[key], second.state_dict()[key])


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        (PICO, MissingFile, "no weights of pocketeye_tam_pico: .* --checkpoint"),
        ("efficienttam_ti", MissingFile,
         r"no weights of efficienttam_ti here: bring https://\S+/efficienttam_ti.pt and put it at "
         r"\S+efficienttam_ti.pt, or name"),
        ("efficienttam_tii", InvalidValue, "Did you mean 'efficienttam_ti'"),
    ],
)  # fmt: skip
def test_without_weights(tmp_path, monkeypatch, name, kind, sentence) -> None:
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(kind, match=sentence):
        open_model(name)


def test_bad_input(tmp_path) -> None:
    with pytest.raises(MissingFile, match="no checkpoint at"):
        open_model(PICO, checkpoint=tmp_path / "none.pt")
    with pytest.raises(InvalidValue, match=r"untrained or .*checkpoint"):
        open_model(PICO, checkpoint=tmp_path / "none.pt", untrained=True)
    with pytest.raises(InvalidValue, match="Did you mean 'cuda'"):
        open_model(PICO, device="cuds")
