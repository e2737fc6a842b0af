"""From the name of a device to the device: what is misspelt or not there says so."""

import pytest
import torch

from pocketeye.devices import DEVICES, resolve_device
from pocketeye.errors import InvalidValue


@pytest.fixture
def there(monkeypatch):
    def set_there(*names):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)

    return set_there


@pytest.mark.parametrize(
    ("names", "best"), [((), "cpu"), (("mps",), "mps"), (("cuda", "mps"), "cuda")]
)
def test_auto_takes_the_fastest(there, names, best):
    there(*names)
    assert resolve_device("auto") == torch.device(best)


def test_named(there):
    there("cuda")
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device(torch.device("meta")).type == "meta"


@pytest.mark.parametrize("name", [n for n in DEVICES if n not in ("auto", "cpu")])
def test_not_on_this_machine(there, name):
    there()
    with pytest.raises(InvalidValue, match=f"no {name} device for torch: use --device cpu"):
        resolve_device(name)


def test_misspelt():
    with pytest.raises(InvalidValue, match=r"unknown device 'cuds'\. Did you mean 'cuda'"):
        resolve_device("cuds")
