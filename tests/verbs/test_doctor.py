import json

import pytest

from pocketeye.latency.machine import measuring_advice
from pocketeye.verbs import doctor as module
from pocketeye.verbs.doctor import doctor


def test_report() -> None:
    result = doctor()
    data = json.loads(json.dumps(result.to_dict()))
    assert data["versions"]["torch"]
    assert data["cores"] >= data["usable_cores"] >= 1
    assert data["clock_resolution_ns"] > 0
    assert "cpu" in data["devices"]
    assert data["runtimes"]["onnxruntime"]
    assert any("measuring" in line for line in result.lines())


def test_missing_runtime_comes_with_its_command(monkeypatch) -> None:
    monkeypatch.setattr(module, "available_runtimes", lambda: {"torch": "2", "onnxruntime": None})
    result = doctor()
    assert result.install == {"onnxruntime": "pip install onnxruntime"}
    assert "pip install onnxruntime" in result.next_commands()
    assert any("not installed: pip install onnxruntime" in line for line in result.lines())


@pytest.mark.parametrize(
    ("load", "word"), [(0.0, "good moment"), (0.8, "noisier"), (3.0, "wait"), (None, "close other")]
)
def test_advice(load: float | None, word: str) -> None:
    assert word in measuring_advice(load, cores=2)
