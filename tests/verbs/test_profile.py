import csv
import json
from dataclasses import replace

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.exporting.bench.profile_page import draw
from pocketeye.exporting.bench.profiling import Profile, unwatched
from pocketeye.latency.record import LatencyRecord, Timing
from pocketeye.runtimes import OpTiming
from pocketeye.verbs.profile import profile


def timed(name: str, ms: float, module: str = "") -> OpTiming:
    return OpTiming(name=name, op=name.partition("_")[0], ms=ms, module=module)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    out = tmp_path_factory.mktemp("profile")
    result = profile(
        ["fbnet_96_035_1"], precisions=("fp32", "int8"), input_size=32, runs=3, samples=2, out=out
    )
    return out, result


def test_every_operator_of_both_precisions_is_there(profiled) -> None:
    out, result = profiled
    fp32, int8 = result.profiles
    assert (fp32.record.precision, int8.record.precision) == ("fp32", "int8")
    assert "QLinearConv" in int8.by_op()
    assert fp32.ops_ms <= fp32.record.latency_ms * (1 + 1e-9)
    assert fp32.unattributed_ms == pytest.approx(fp32.record.latency_ms - fp32.ops_ms)
    with (out / "profile.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(fp32.ops) + len(int8.ops)
    shares = sum(float(row["share"]) for row in rows if row["precision"] == "fp32")
    assert shares == pytest.approx(1)
    stored = json.loads((out / "profile.json").read_text())
    assert len(stored["profiles"][1]["ops"]) == len(int8.ops)


def test_operators_know_the_module_they_came_from(profiled) -> None:
    _, result = profiled
    for each in result.profiles:
        convolutions = [op for op in each.ops if "Conv" in op.op]
        assert convolutions
        assert all(op.module for op in convolutions)
    fp32, int8 = (p.by_module(2) for p in result.profiles)
    # int8 has no notes of the exporter: the names of its weights say the same modules.
    layers = {name for name in fp32 if name.startswith("blocks")}
    assert layers
    assert layers <= set(int8)


def test_the_page_stands_alone(profiled) -> None:
    out, _ = profiled
    page = (out / "profile.html").read_text()
    assert "not attributed" in page
    assert "last / first" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_torch_is_profiled_too(tmp_path) -> None:
    result = profile(
        ["fbnet_96_035_1"], runtimes=("torch",), input_size=32, runs=2, samples=2, out=tmp_path
    )
    (only,) = result.profiles
    convolutions = [op for op in only.ops if "conv" in op.op]
    assert convolutions
    assert all(op.module for op in convolutions)


def test_what_watching_costs_is_taken_off_each_alike() -> None:
    ops = [timed("Conv_0", 1.0), timed("Conv_1", 0.5), timed("Add_2", 0.01)]
    found, each = unwatched(ops, 1.31)
    assert each == pytest.approx(0.095)
    assert [op.ms for op in found] == pytest.approx([0.905, 0.405, 0.0])
    assert unwatched(ops, 2.0) == (tuple(ops), 0.0)


def test_sums_by_module_and_kind() -> None:
    ops = (
        timed("Conv_0", 1.0, "stages.0.a"),
        timed("Add_1", 2.0, "stages.0.b"),
        timed("Conv_2", 4.0),
    )
    record = LatencyRecord(subject="x", runtime="onnxruntime", runtime_version="1", threads=1,
                           precision="fp32", clock="wall", timing=Timing(p50_ms=8.0))  # fmt: skip
    one = Profile(label="x", record=record, ops=ops)
    assert one.by_module(2) == {"stages.0": 3.0, "(runtime)": 4.0}
    assert list(one.by_op().items()) == [("Conv", 5.0), ("Add", 2.0)]
    assert one.unattributed_ms == pytest.approx(1.0)
    other = replace(one, label="y", ops=(*ops, timed("Gelu_3", 1.0, "head")))
    left, right = draw([one, other], 2).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["stages.0", "(runtime)", "head"]
    assert [text.get_text() for text in right.get_yticklabels()] == ["Conv", "Add", "Gelu"]


@pytest.mark.parametrize(
    ("models", "options", "words"),
    [
        ([], {}, "at least one"),
        (["fbnet_a"], {"runtimes": ("onnxruntime",) * 5}, "at most 4"),
        (["fbnet_a"], {"runtimes": ("torch",), "precisions": ("int8",)}, "not offered"),
        (["pocketeye_tam_nano"], {}, "tracker"),
    ],
)
def test_mistakes(tmp_path, models, options, words) -> None:
    with pytest.raises(InvalidValue, match=words):
        profile(models, input_size=32, samples=2, out=tmp_path, **options)
