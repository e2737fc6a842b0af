import json

import pytest

from pocketeye.cli import main

pytestmark = pytest.mark.usefixtures("toy_verb")


def run(capsys, tmp_path, text: str, *argv: str) -> tuple[int, dict, str]:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    code = main(["toy", *argv, "--config", str(path), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_same_schema_as_the_options(capsys, tmp_path) -> None:
    text = "model: m\ninput_size: 32\nsizes: [2, 3]\ntrain: {epochs: 9, lr: 1e-3}\n"
    code, data, _ = run(capsys, tmp_path, text)
    assert code == 0
    assert (data["model"], data["input_size"], data["sizes"]) == ("m", 32, [2, 3])
    assert (data["epochs"], data["lr"]) == (9, 0.001)


def test_the_command_line_wins(capsys, tmp_path) -> None:
    text = "input_size: 32\ntrain: {epochs: 9}\n"
    _, data, _ = run(capsys, tmp_path, text, "m", "--input-size", "64")
    assert (data["input_size"], data["epochs"]) == (64, 9)


def test_null_is_none_and_dashes_are_underscores(capsys, tmp_path) -> None:
    assert run(capsys, tmp_path, "input-size: 8\n", "m")[1]["input_size"] == 8
    assert run(capsys, tmp_path, "input_size: null\n", "m")[1]["input_size"] is None
    assert run(capsys, tmp_path, "", "m")[0] == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("input_sise: 3\n", "unknown key 'input_sise' in"),
        ("input_sise: 3\n", "Did you mean 'input_size'?"),
        ("train: {epoch: 3}\n", "Did you mean 'train.epochs'?"),
        ("input_size: big\n", "unable to convert 'big' into int"),
        ("mode: papper\n", "Did you mean 'paper'?"),
        ("a: [\n", "is not YAML"),
        ("- a\n", "must hold 'option: value' lines, not a list"),
    ],
)
def test_mistakes(capsys, tmp_path, text: str, sentence: str) -> None:
    code, data, err = run(capsys, tmp_path, text, "m")
    assert code == 2
    assert sentence in data["error"]
    assert sentence in err
    assert "\n" not in data["error"]
