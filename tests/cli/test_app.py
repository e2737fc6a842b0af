import io
import json
import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

from pocketeye.cli import main
from pocketeye.cli._errors import as_typed
from pocketeye.cli._output import show_error
from pocketeye.cli._streams import mend_streams
from pocketeye.cli._verbs import VERBS
from pocketeye.errors import InvalidValue

pytestmark = pytest.mark.usefixtures("toy_verb")


def test_errors_name_options_as_they_were_typed() -> None:
    text = "batch_size must be from 1 to 9, got 0 (not test_batch_size)"
    typed = "--batch-size must be from 1 to 9, got 0 (not test_batch_size)"
    assert as_typed(text, ["train", "--batch-size", "0"]) == typed
    assert as_typed(text, ["train", "--batch-size=0"]) == typed
    assert as_typed(text, ["train", "recipe.yaml"]) == text
    assert (
        as_typed("epochs must be 1 of epochs", ["--epochs", "0"]) == "--epochs must be 1 of epochs"
    )
    assert as_typed("of --batch-size and batch", ["--batch", "--batch-size"]).count("--") == 1


def run_json(capsys, *argv: str) -> tuple[int, dict]:
    code = main([*argv])
    out = capsys.readouterr().out
    assert out.count("\n") == 1, out
    return code, json.loads(out)


@pytest.mark.parametrize("argv", [("--json", "toy", "m"), ("toy", "m", "--json")])
def test_json_is_all_there_is_on_stdout(capsys, argv) -> None:
    code, data = run_json(capsys, *argv)
    assert code == 0
    assert data["model"] == "m"
    assert data["nan"] is None
    assert data["sizes"] == [1]


def test_a_person_reads_files_sizes_and_what_comes_next(capsys, tmp_path) -> None:
    assert main(["toy", "m", "--out", str(tmp_path / "file")]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "values 7"
    assert lines[1].startswith(f"wrote  {tmp_path / 'file'}  (1.5 kB, 0.")
    assert lines[-1] == "next   pocketeye info fbnet_c"
    assert "a library prints this" in captured.err


def test_the_answer_no_has_its_own_exit_code(capsys) -> None:
    assert main(["toy", "m", "--mode", "no"]) == 1


def test_groups_and_lists(capsys) -> None:
    _, data = run_json(capsys, "toy", "m", "--train.epochs", "7", "--sizes", "4", "5", "--json")
    assert data["epochs"] == 7
    assert data["sizes"] == [4, 5]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["tay", "m"], "unknown verb 'tay'. Did you mean 'toy'?"),
        (["toy", "m", "--input-sise", "3"], "'--input-sise'. Did you mean '--input-size'?"),
        (["toy", "m", "--jsn"], "unknown option '--jsn'. Did you mean '--json'?"),
        (["--foo", "toy"], "unknown option '--foo' before the verb"),
        (["train", "--task", "detect"], "the task comes first: pocketeye train classify"),
        (["train", "fbnet_c"], "the task comes first: pocketeye train classify"),
        # far from every option: no guess
        (["export", "fbnet_c", "--engine", "x"], "'--engine' (see pocketeye export --help)"),
        (["toy"], "MODEL needs a value"),
        (["toy", "m", "--input-size"], "--input-size needs a value"),
        (["toy", "m", "--input-size", "big"], "unable to convert 'big' into int"),
        (["toy", "m", "--mode", "papper"], "Did you mean 'paper'?"),
        (["toy", "m", "extra"], "one value too many: 'extra'"),
        (["toy", "m", "--mode", "user"], "this cannot be: choose another"),
        (["toy", "m", "--mode", "full"], "No space left on device: big.bin"),
        (["toy", "m", "--config", "nowhere.yaml"], "no configuration file at nowhere.yaml"),
        (["info", "fbnet_cc"], "unknown model 'fbnet_cc'. Did you mean 'fbnet_c'?"),
    ],
)  # fmt: skip
def test_one_sentence_and_exit_code_2(capsys, argv: list[str], sentence: str) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    error = captured.err.removeprefix("a library prints this\n")
    assert error.startswith("error: ")
    assert sentence in error
    assert error.count("\n") == 1
    code, data = run_json(capsys, *argv, "--json")
    assert code == 2
    assert sentence in data["error"]


def test_debug_shows_the_stack_of_a_user_error(capsys) -> None:
    assert main(["toy", "m", "--mode", "user", "--debug"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("error: this cannot be: choose another\n")


def test_our_own_mistakes_have_their_own_exit_code_and_show_their_stack(capsys) -> None:
    assert main(["toy", "m", "--mode", "crash", "--json"]) == 70
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert data == {"error": "internal error: ZeroDivisionError: our mistake"}
    assert "Traceback" in captured.err
    assert captured.err.endswith("error: internal error: ZeroDivisionError: our mistake\n")


def test_an_interrupt_has_its_own_exit_code(capsys, monkeypatch) -> None:
    assert main(["toy", "m", "--mode", "ctrl-c"]) == 130
    assert "interrupted" in capsys.readouterr().err

    def tell_how_to_go_on(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise InvalidValue("interrupted: repeat with --resume") from None

    monkeypatch.setattr(sys.modules["pocketeye.verbs.toy"], "toy", tell_how_to_go_on)
    assert main(["toy", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"].endswith("--resume")


def test_help_and_version(capsys) -> None:
    for argv in ([], ["--help"]):
        assert main(argv) == 0
        out = capsys.readouterr().out
        assert "--json" in out
        assert "doctor" in out
    assert main(["toy", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--input-size" in out
    assert "how to end" in out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_here_can_be_called(capsys, verb: str) -> None:
    assert main([verb, "--help"]) == 0
    assert f"pocketeye {verb}" in capsys.readouterr().out


def pocketeye(*argv: str, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pocketeye", *argv]
    return subprocess.run(command, text=True, timeout=120, check=False, **kwargs)


def test_as_a_process() -> None:
    done = pocketeye("info", "fbnet_96_035_1", "--json", capture_output=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["input_size"] == 96
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently there")
def test_a_reader_that_goes_away() -> None:
    read, write = os.pipe()
    os.close(read)
    done = pocketeye("list", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")  # noqa: PTH110
@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("> /dev/full", 2, "cannot write to standard output: No space left on device"),
        ("--json > /dev/full", 2, "cannot write to standard output: No space left on device"),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("--jsn 2> /dev/full", 2, ""),
        ("--jsn 2>&-", 2, ""),
    ],
)
def test_streams_that_are_full_or_closed(redirected: str, code: int, said: str) -> None:
    command = f"{sys.executable} -m pocketeye list {redirected}"
    done = subprocess.run(
        ["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert done.stderr == (f"error: {said}\n" if said else "")


def test_streams_without_unicode() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = pocketeye("nöpe", "--json", capture_output=True, env=env)
    assert done.returncode == 2
    assert "nöpe" in json.loads(done.stdout)["error"]
    assert done.stderr.startswith("error: unknown verb 'n")
    done = pocketeye("train", "detect", "--help", capture_output=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_are_no_unicode_or_speak_to_the_terminal(monkeypatch) -> None:
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
        monkeypatch.setattr(sys, name, stream)
    text = os.fsdecode(b"no image at caf\xe9\x1b[31m")
    mend_streams()
    show_error(text, as_json=True)
    assert json.loads(sys.stdout.buffer.getvalue())["error"] == text
    assert sys.stderr.buffer.getvalue().decode() == "error: no image at caf\\udce9�[31m\n"


def test_interrupted_before_there_is_a_verb(capsys, monkeypatch) -> None:
    monkeypatch.setattr("pocketeye.cli.app.build_app", Mock(side_effect=KeyboardInterrupt))
    assert main(["list"]) == 130
    assert capsys.readouterr().err.startswith("error: interrupted")


def test_under_torchrun_one_process_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert main(["toy", "m"]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RANK", "0")
    assert main(["toy", "m"]) == 0
    assert capsys.readouterr().out != ""
