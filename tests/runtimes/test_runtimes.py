"""Every runtime that is installed: export, load, run, time, profile; what they refuse."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import pocketeye.runtimes as registry
from pocketeye.errors import InvalidValue, MissingExtra, MissingFile
from pocketeye.runtimes import (
    PACKAGES,
    RUNTIMES,
    Artifact,
    ExportRequest,
    Runtime,
    RuntimePackage,
    available_runtimes,
    get_runtime,
    numbers_of,
)
from tests.runtimes.installed import installed
from tests.runtimes.nets import small_net

SHAPE = (1, 3, 16, 16)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.fixture(scope="module", params=installed())
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp(request.param)
    return get_runtime(request.param).export(
        ExportRequest(small_net(), (torch.zeros(SHAPE),)), folder
    )


@pytest.fixture
def runtime(artifact: Artifact) -> Runtime:
    return get_runtime(artifact.runtime)


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def test_round_trip(runtime: Runtime, artifact: Artifact, image: np.ndarray) -> None:
    assert Artifact.load(artifact.folder) == artifact
    names = {"artifact.json", *PACKAGES[runtime.name].files}
    assert {p.name for p in artifact.folder.iterdir()} == names
    assert {artifact.file, *artifact.parts} == names - {"artifact.json"}
    assert artifact.inputs[0].shape == SHAPE
    assert artifact.outputs[0].shape == (1, 10)
    assert artifact.size_bytes > 1000
    (logits,) = runtime.load(Artifact.load(artifact.folder))(image)
    with torch.no_grad():
        expected = small_net()(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_bound_call(runtime: Runtime, artifact: Artifact, image: np.ndarray) -> None:
    executable = runtime.load(artifact)
    call = executable.bind(image)
    image[:] = np.nan  # bound inputs are copies
    assert call() is None


def test_profile(runtime: Runtime, artifact: Artifact, image: np.ndarray) -> None:
    before = set(Path.cwd().iterdir())
    executable = runtime.load(artifact)
    if runtime.name == "litert":
        with pytest.raises(InvalidValue, match="benchmark_model"):
            executable.profile(image)
        return
    rows = executable.profile(image, runs=3)
    assert set(Path.cwd().iterdir()) == before
    convolutions = [row for row in rows if "conv" in row.op.lower()]
    # XNNPACK computes a 1x1 convolution as a fully connected layer, and tells no shapes.
    assert len(convolutions) == (3 if runtime.name == "executorch" else 4)
    assert SHAPE in convolutions[0].input_shapes or runtime.name == "executorch"
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.ms >= 0 for row in rows)
    assert sum(row.ms for row in rows) > 0


def test_two_threads_compute_the_same(
    runtime: Runtime, artifact: Artifact, image: np.ndarray
) -> None:
    threads = torch.get_num_threads()
    one, two = (runtime.load(artifact, threads=n)(image)[0] for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert torch.get_num_threads() == threads


def denormals_survive() -> bool:
    return (torch.tensor([1e-40]) * 1.0).item() != 0


def test_global_settings_come_back(runtime: Runtime, artifact: Artifact, image: np.ndarray) -> None:
    before = torch.get_num_threads()
    executable = runtime.load(artifact, threads=before + 1)
    bound = executable.bind(image)
    uses = [lambda: executable(image), bound, lambda: executable.profile(image)]
    # LiteRT has no profile.
    for use in uses[:2] if runtime.name == "litert" else uses:
        use()
        assert torch.get_num_threads() == before
        assert denormals_survive()
    torch.set_flush_denormal(True)
    try:
        runtime.load(artifact).bind(image)()
        assert not denormals_survive()
    finally:
        torch.set_flush_denormal(False)


def test_denormals_count_as_zero(runtime: Runtime, tmp_path: Path) -> None:
    net = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 1e-30)
    x = torch.full((1, 1, 8, 8), 1e-10)
    executable = runtime.load(runtime.export(ExportRequest(net, (x,)), tmp_path))
    assert denormals_survive()
    with torch.no_grad():
        assert net(x).abs().max() > 0
    assert np.abs(executable(x.numpy())[0]).max() == 0


def test_export_keeps_training_mode(runtime: Runtime, tmp_path: Path) -> None:
    net = small_net().train()
    net[1].eval()
    runtime.export(ExportRequest(net, (torch.zeros(SHAPE),)), tmp_path)
    assert net.training
    assert not net[1].training


@pytest.mark.parametrize(
    "arrays",
    [
        (),
        (np.zeros((1, 3, 16, 15), np.float32),),
        (np.zeros((2, 3, 16, 16), np.float32),),
        (np.zeros(SHAPE, np.float64),),
        (np.zeros(SHAPE, np.float32),) * 2,
    ],
)
def test_wrong_inputs(runtime: Runtime, artifact: Artifact, arrays: tuple[np.ndarray, ...]) -> None:
    executable = runtime.load(artifact)
    for use in (executable, executable.bind, executable.profile):
        with pytest.raises(InvalidValue, match="input"):
            use(*arrays)


def copy_of(artifact: Artifact, folder: Path, **manifest: object) -> Artifact:
    data = json.loads((artifact.folder / "artifact.json").read_text()) | manifest
    (folder / "artifact.json").write_text(json.dumps(data))
    for path in artifact.files:
        (folder / path.name).write_bytes(path.read_bytes())
    return Artifact.load(folder)


def test_missing_file(runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
    copy = copy_of(artifact, tmp_path)
    copy.path.unlink()
    with pytest.raises(MissingFile, match="missing: export it again") as error:
        runtime.load(copy)
    one_sentence(error.value)


def test_changed_file(runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
    copy = copy_of(artifact, tmp_path)
    data = bytearray(copy.path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.path.write_bytes(data)
    with pytest.raises(InvalidValue, match="not the file its artifact") as error:
        runtime.load(copy)
    one_sentence(error.value)


@pytest.mark.parametrize("garbage", ["truncated", "text", "empty"])
def test_unreadable_file(
    runtime: Runtime, artifact: Artifact, tmp_path: Path, garbage: str
) -> None:
    copy = copy_of(artifact, tmp_path, extra={})
    whole = copy.path.read_bytes()
    copy.path.write_bytes(
        {"truncated": whole[: len(whole) // 2], "text": b"hello" * 99, "empty": b""}[garbage]
    )
    with pytest.raises(InvalidValue, match="model\\.") as error:
        runtime.load(copy)
    one_sentence(error.value)


def test_other_runtime(artifact: Artifact) -> None:
    other = "torch" if artifact.runtime != "torch" else "onnxruntime"
    with pytest.raises(InvalidValue, match=f"made for the runtime '{artifact.runtime}'"):
        get_runtime(other).load(artifact)


def test_settings(runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
    assert runtime.version()[0].isdigit()
    assert runtime.flags()["denormals_as_zero"] is True
    json.dumps(runtime.flags())
    with pytest.raises(InvalidValue, match="threads must be at least 1"):
        runtime.load(artifact, threads=0)
    with pytest.raises(InvalidValue, match="'fp8' is unknown"):
        runtime.export(ExportRequest(small_net(), (torch.zeros(SHAPE),), precision="fp8"), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="need as many names"):
        runtime.export(
            ExportRequest(small_net(), (torch.zeros(SHAPE),), output_names=("a", "b")), tmp_path
        )
    assert list(tmp_path.iterdir()) == []


def test_torch_has_no_int8(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="'int8' is not offered by the runtime 'torch'"):
        get_runtime("torch").export(
            ExportRequest(small_net(), (torch.zeros(SHAPE),), precision="int8"), tmp_path
        )


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidValue, match=r"cannot write .*file") as error:
        get_runtime("onnxruntime").export(
            ExportRequest(small_net(), (torch.zeros(SHAPE),), for_timing=True), tmp_path / "file"
        )
    one_sentence(error.value)


def test_failed_export_keeps_the_old_one(
    artifact: Artifact, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_of(artifact, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.onnx, "export", full)
    monkeypatch.setattr(torch.export, "save", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InvalidValue, match="No space left on device"):
        runtime.export(ExportRequest(small_net(), (torch.zeros(SHAPE),)), copy.folder)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_registry() -> None:
    assert set(available_runtimes()) == set(RUNTIMES) >= {"onnxruntime", "torch", "openvino"}
    assert all(available_runtimes()[name] for name in ("onnxruntime", "torch"))
    with pytest.raises(InvalidValue, match="Did you mean 'onnxruntime'"):
        get_runtime("onnxruntim")


def extras() -> dict[str, list[str]]:
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8")
    found: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    return found


@pytest.mark.parametrize("name", [name for name, row in PACKAGES.items() if row.extra])
def test_the_extra_of_a_runtime_is_what_the_registry_asks_for(name: str) -> None:
    row = PACKAGES[name]
    assert f"{row.package}>={row.oldest}" in extras()[row.extra or ""]


@pytest.fixture
def optional(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Pretend that this version of OpenVINO is installed."""

    def pretend(version: str | None) -> None:
        monkeypatch.setattr(RuntimePackage, "version", lambda self: version)

    return pretend


def test_missing_extra(optional: Callable[[str | None], None]) -> None:
    optional(None)
    with pytest.raises(MissingExtra, match=r'pip install "pocketeye\[openvino\]"') as error:
        get_runtime("openvino")
    one_sentence(error.value)


def test_version_that_is_too_old(optional: Callable[[str | None], None]) -> None:
    optional("2024.6.0")
    with pytest.raises(InvalidValue, match=r"openvino 2026\.4 or newer, and 2024\.6\.0") as error:
        get_runtime("openvino")
    assert 'pip install "pocketeye[openvino]" --upgrade' in one_sentence(error.value)


def test_package_that_cannot_be_imported(
    optional: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> None:
        raise ImportError("libopenvino.so: undefined symbol\nmore")

    optional("2030.1")
    monkeypatch.setattr(registry, "import_module", broken)
    with pytest.raises(InvalidValue, match=r"cannot be imported .*undefined symbol") as error:
        get_runtime("openvino")
    one_sentence(error.value)


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2026.4.1rc1", (2026, 4, 1)), ("1.5", (1, 5)), ("1.10.0+cpu", (1, 10, 0)), ("dev", ())],
)
def test_numbers_of_a_version(version: str, numbers: tuple[int, ...]) -> None:
    assert numbers_of(version) == numbers


def constraints(name: str) -> dict[str, str]:
    text = (Path(__file__).resolve().parents[2] / name).read_text("utf-8")
    rows = (line.partition("==") for line in text.splitlines())
    return {package: version for package, _, version in rows if version}


def test_the_two_sets_of_versions_differ_in_torch_alone() -> None:
    core, all_runtimes = constraints("constraints.txt"), constraints("constraints-runtimes.txt")
    assert {k for k in core if core[k] != all_runtimes.get(k)} == {"torch"}
    assert numbers_of(all_runtimes["torch"]) < (2, 15)
    for row in PACKAGES.values():
        assert numbers_of(all_runtimes[row.package]) >= numbers_of(row.oldest)
