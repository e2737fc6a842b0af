"""The command line starts without torch, and its help is nevertheless that of the real functions."""

import inspect
import shlex
import subprocess
import sys
import typing
from importlib import import_module

import pytest

from pocketeye.cli import main
from pocketeye.cli._source import docstring_of, signature_of
from pocketeye.cli._verbs import EXAMPLES, GROUPS, VERBS, source_module
from pocketeye.cli.app import build_app
from pocketeye.models.space import list_spaces

PLACES = [
    place
    for word, known in VERBS.items()
    for place in ([(known, known)] if isinstance(known, str) else known.values())
]
HEAVY = ("torch", "timm", "lightning", "onnx", "matplotlib", "numpy")


@pytest.mark.parametrize(("module", "name"), PLACES)
def test_signatures_read_from_source_are_those_of_the_functions(module: str, name: str) -> None:
    function = inspect.unwrap(getattr(import_module(f"pocketeye.verbs.{module}"), name))
    place = source_module(module)
    assert place is not None
    read, doc = signature_of(place, name)
    hints = typing.get_type_hints(function, include_extras=True)
    real = inspect.signature(function).parameters
    assert list(read.parameters) == list(real)
    for key, parameter in read.parameters.items():
        assert (parameter.kind, parameter.default) == (real[key].kind, real[key].default)
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            assert parameter.annotation == hints[key]
            continue
        (read_options,), (real_options,) = map(typing.get_args, (parameter.annotation, hints[key]))
        assert typing.get_type_hints(read_options) == typing.get_type_hints(real_options)
        assert inspect.cleandoc(read_options.__doc__) == inspect.cleandoc(real_options.__doc__)
    assert doc == inspect.getdoc(function) == docstring_of(place, name)


def loaded_after(code: str) -> set[str]:
    code = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.split())


def test_help_of_every_verb_without_torch() -> None:
    code = (
        "from pocketeye.cli import main\n"
        "from pocketeye.cli._verbs import VERBS\n"
        "main(['--help']), main(['--version']), main(['list'])\n"
        "for verb, place in VERBS.items():\n"
        "    main([verb, '--help'])\n"
        "    [main([verb, task, '--help']) for task in place if isinstance(place, dict)]\n"
    )
    assert not loaded_after(code).intersection(HEAVY)


def test_the_package_alone_loads_neither_networks_nor_videos() -> None:
    assert not loaded_after("import pocketeye").intersection((*HEAVY, "av"))


@pytest.mark.parametrize(
    "imports",
    [
        "import pocketeye, timm",
        # The order of all tests of networks, in this process.
        pytest.param("import timm, pocketeye", marks=pytest.mark.slow),
    ],
)
def test_timm_knows_our_networks_whichever_is_imported_first(imports: str) -> None:
    loaded = loaded_after(
        f"{imports}\nassert timm.is_model('casvit_xs') and timm.is_model('fbnet_c')\n"
        "import pocketeye.runtimes"
    )
    assert "timm" in loaded
    assert not loaded.intersection(("onnx", "onnxruntime", "matplotlib")), "of no use until exports"


def test_every_verb_is_in_a_group_and_has_an_example(capsys) -> None:
    assert sorted(verb for verbs in GROUPS.values() for verb in verbs) == sorted(VERBS)
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"─ {title} ─" in text for title in GROUPS)
    for verb, known in VERBS.items():
        for task in [""] if isinstance(known, str) else known:
            words = [verb, task] if task else [verb]
            assert main([*words, "--help"]) == 0
            said = " ".join(capsys.readouterr().out.split())
            assert "Example: " + " ".join(EXAMPLES[" ".join(words)].split()) in said


def test_examples_can_be_parsed(monkeypatch, capsys) -> None:
    for example in EXAMPLES.values():
        app = build_app()
        _, bound, _ = app.parse_args(
            shlex.split(example)[1:], print_error=False, exit_on_error=False
        )
        assert bound is not None


def test_options_of_one_kind_of_network_stand_together(capsys) -> None:
    assert main(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    assert "Only of a classifier" in text
    assert text.index("Only of a classifier") < text.index("--topk")
    assert text.index("--device") < text.index("Only of a classifier")


@pytest.mark.parametrize("verb", ["measure", "search"])
def test_spaces_are_listed_where_they_are_asked_for(capsys, verb: str) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out.replace("│", " ")
    assert all(f"{space}," in " ".join(text.split()).replace(")", ",") for space in list_spaces())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys, shell: str) -> None:
    assert main(["--completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("pocketeye", "predict", "segment-anything", "topk"))
