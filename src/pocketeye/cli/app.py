"""Run ``main``: find the verb, fill its arguments, call it, print what it returns.

Exit codes: 0 done · 1 done, and the answer is no (a failed parity check) · 2 the user can put it
right (one sentence) · 70 a mistake of ours, with its stack · 130 interrupted · 141 nobody reads on.
"""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from pocketeye import __version__
from pocketeye.cli._config import load_config
from pocketeye.cli._errors import as_typed, sentence, was_interrupted
from pocketeye.cli._output import (
    StdoutConsole,
    narration,
    show,
    show_error,
    stdout_kept_clean,
)
from pocketeye.cli._streams import give_up, mend_streams, output, say
from pocketeye.cli._verbs import (
    EXAMPLES,
    GROUPS,
    STDIN,
    STDIN_PATH,
    VERBS,
    group_summary,
    import_path,
    summary,
)
from pocketeye.verb_result import VerbResult

# 70 is EX_SOFTWARE of sysexits.h; 130 and 141 are what a shell reports of a program that SIGINT or
# SIGPIPE ended.
_USERS_MISTAKE, _OUR_MISTAKE, _INTERRUPTED, _BROKEN_PIPE = 2, 70, 130, 141
_BELOW_ZERO = re.compile(r"-[\d.]+,[-\d.,:]*")  # -3,40 as coordinates
_EVERYWHERE = Group("For every verb", sort_key=99)
_SHELL = Group("For the shell", sort_key=100)
Shell = Literal["bash", "zsh", "fish"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: arguments without the program's name; those of the process by default.
    """
    mend_streams()
    tokens = list(sys.argv[1:] if argv is None else argv)
    # Before parsing: also a mistake in parsing is to be told as JSON.
    as_json, debug = "--json" in tokens, "--debug" in tokens
    app: App | None = None
    try:
        app = build_app()
        code: int | None = app.meta(tokens, print_error=False, exit_on_error=False)
        with output():  # what is left in the buffer
            pass
        return code or 0  # --help and --version return nothing
    except BrokenPipeError:
        give_up(sys.stdout)  # the reader went away (`pocketeye list | head`)
        return _BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last one to catch anything
        # Only verbs of this installation are suggested.
        text = sentence(error, [verb for verb in VERBS if app is not None and verb in app])
        if text is None or debug:
            say(traceback.format_exc().rstrip())
        if text is None:
            show_error(f"internal error: {type(error).__name__}: {error}", as_json=as_json)
            return _OUR_MISTAKE
        show_error(as_typed(text, tokens), as_json=as_json)
        return _INTERRUPTED if was_interrupted(error) else _USERS_MISTAKE


def _attached(tokens: Sequence[str]) -> list[str]:
    """Write ``--point -3,40`` as ``--point=-3,40``: the verb says better what is wrong with it."""
    attached: list[str] = []
    for token in tokens:
        option = attached[-1] if attached else ""
        # A coordinate below zero looks like an option.
        if _BELOW_ZERO.fullmatch(token) and option.startswith("--") and "=" not in option:
            attached[-1] = f"{option}={token}"
        else:
            attached.append(token)
    return attached


def _register(
    app: App, word: str, place: tuple[str, str], order: int, group: Group | None, example: str
) -> None:
    """Add the function at (module, name) under ``word``, where it is in this installation."""
    text = summary(*place)
    if text is not None:
        app.command(
            import_path(place[1]), name=word, help=text, sort_key=order, group=group,
            help_epilogue=_example(example),
        )  # fmt: skip


def _example(of: str) -> str | None:
    return f"Example: {EXAMPLES[of]}" if of in EXAMPLES else None


def build_app() -> App:
    """Make the cyclopts application. Verbs are registered by name and imported when called."""
    app = App(
        name="pocketeye",
        help="Efficient vision on the device in your hand: measure it, search a network for it, "
        "train, export and prove it.",
        version=__version__,
        result_action="return_value",
        console=StdoutConsole(),
        default_parameter=Parameter(negative_iterable=(), consume_multiple=True),
    )
    titles = {title: Group(title, sort_key=number) for number, title in enumerate(GROUPS)}
    groups = {verb: titles[title] for title, verbs in GROUPS.items() for verb in verbs}
    for order, (verb, module) in enumerate(VERBS.items()):
        group = groups.get(verb)
        if isinstance(module, str):
            _register(app, verb, (module, module), order, group, verb)
            continue
        tasks = App(name=verb, help=group_summary(verb), sort_key=order, group=group)
        for number, (task, place) in enumerate(module.items()):
            _register(tasks, task, place, number, None, f"{verb} {task}")
        app.command(tasks)

    app.meta.suppress_keyboard_interrupt = False  # main() has a sentence for it

    @app.meta.default
    def call(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        json: Annotated[
            bool, Parameter(negative="", show_default=False, group=_EVERYWHERE)
        ] = False,
        debug: Annotated[
            bool, Parameter(negative="", show_default=False, group=_EVERYWHERE)
        ] = False,
        config: Annotated[Path | None, Parameter(group=_EVERYWHERE)] = None,
        completion: Annotated[Shell | None, Parameter(group=_SHELL)] = None,
    ) -> int:
        """Parse the options every verb has, then the verb's own.

        Args:
            json: print exactly one JSON object on stdout; everything else goes to stderr.
            debug: show debug messages, and the stack behind an error.
            config: YAML file with options of the verb; those on the command line win.
            completion: print the script that completes commands and options in this shell.
        """
        if completion is not None:
            with output():
                print(app.generate_completion(prog_name="pocketeye", shell=completion))  # noqa: T201
            return 0
        app.config = (load_config(config),) if config else ()
        # cyclopts takes a lone hyphen for an option that it does not know
        tokens = tuple(STDIN_PATH if token == STDIN else token for token in _attached(tokens))
        verb, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
        if isinstance(getattr(verb, "__self__", None), App):  # no verb or no task: the help
            with output():
                verb(*bound.args, **bound.kwargs)
            return 0
        start = time.perf_counter()
        with stdout_kept_clean(), narration(debug=debug):
            result = verb(*bound.args, **bound.kwargs)
        assert isinstance(result, VerbResult)
        if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks for all
            show(result, time.perf_counter() - start, as_json=json)
        return result.exit_code

    return app
