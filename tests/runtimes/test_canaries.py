"""Does every runtime still take, and compute, each kind of layer that our networks use?

All canaries go through one export, which is quick; where that fails each goes alone, so that the layer
which broke has a name. The runtimes of the core installation are always tested, the others are slow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketeye.runtimes import ExportRequest, Runtime, get_runtime
from tests.runtimes.canaries import BROKEN, CANARIES, Joint, build, example
from tests.runtimes.installed import installed

Outputs = dict[str, np.ndarray]


def run(runtime: Runtime, names: list[str], folder: Path) -> Outputs:
    inputs = tuple(example(name) for name in names)
    artifact = runtime.export(
        ExportRequest(
            Joint(names),
            inputs,
            input_names=[f"x{i}" for i in range(len(names))],
            output_names=[f"y{i}" for i in range(len(names))],
        ),
        folder,
    )
    outputs = runtime.load(artifact)(*(x.numpy() for x in inputs))
    return dict(zip(names, outputs, strict=True))


@pytest.fixture(scope="module", params=installed(without=["torch"]))
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runtime, Outputs]:
    runtime = get_runtime(request.param)
    try:
        return runtime, run(runtime, list(CANARIES), tmp_path_factory.mktemp("joint"))
    except Exception:  # noqa: BLE001 - whatever it was: each test below shows its own
        return runtime, {}


@pytest.mark.parametrize("name", CANARIES)
def test_layer(
    answers: tuple[Runtime, Outputs],
    name: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    runtime, together = answers
    if (why := BROKEN.get((runtime.name, name))) is not None:
        request.applymarker(pytest.mark.xfail(reason=why, strict=True))
    got = together[name] if name in together else run(runtime, [name], tmp_path)[name]
    expected = build(name)(example(name)).detach().numpy()
    assert got.shape == expected.shape
    error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
    assert error < 1e-5, f"{runtime.name}: {name} differs, rel {error:.1e}"
