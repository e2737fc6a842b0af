"""Turn an exception into the one sentence a person reads, in the words of :mod:`pocketeye.errors`."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from pocketeye.cli._config import unknown_key
from pocketeye.cli._streams import OutputError
from pocketeye.cli._verbs import EXAMPLES, VERBS
from pocketeye.errors import UserError, nearest, unknown

# Refusals of the operating system that the user can put right.
_SYSTEM = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


def sentence(error: BaseException, verbs: list[str]) -> str | None:
    """Return what to tell the user, or None where the mistake is ours."""
    match error:
        case UserError():
            return str(error)
        case UnknownCommandError():
            return _unknown_verb(
                (error.unused_tokens or ["?"])[0], verbs, error.command_chain or ()
            )
        case UnknownOptionError():
            return _unknown_option(error)
        case UnusedCliTokensError():
            return f"one value too many: {' '.join(error.unused_tokens or [])!r}{_see_help(error)}"
        case MissingArgumentError() if error.argument is not None:
            return _missing(error)
        case CoercionError():
            text = str(error).removeprefix("Invalid value").strip().rstrip(".")
            return f"invalid value {text}".replace('"', "'")
        case CycloptsError():
            return " ".join(str(error).split())
        case KeyboardInterrupt():
            return (
                "interrupted; files already written are whole, and the same command with --resume "
                "continues where the verb has that option"
            )
        case OutputError():
            return str(error.strerror)
        case OSError() if error.errno in _SYSTEM:
            return f"{error.strerror}: {error.filename or 'a file could not be written'}"
    return None


def as_typed(text: str, argv: Sequence[str]) -> str:
    """Return a sentence with options as they stand on the command line.

    Python's arguments have underscores: who typed ``--batch-size 0`` should read of ``--batch-size``.
    """
    for option in (word.partition("=")[0] for word in argv if word.startswith("--")):
        name = option[2:].replace("-", "_")
        # A single word (epochs, lr) may be one of the sentence; at its beginning it is the option.
        place = rf"(?<![\w\-.]){name}(?!\w)" if "_" in name else rf"^{name}(?= must )"
        if name.isidentifier():
            text = re.sub(place, option, text)
    return text


def was_interrupted(error: BaseException) -> bool:
    """Tell whether Ctrl-C is behind an error, which a verb may have made into a sentence of its own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, KeyboardInterrupt):
            return True
        found = found.__cause__ or found.__context__
    return False


def _unknown_verb(got: str, verbs: list[str], chain: Sequence[str]) -> str:
    """Say which verbs there are, or after ``chain`` which tasks of its verb."""
    what = "task" if chain else "verb"
    # Options stand behind the verb: before it they would be of the program.
    if got.startswith("-"):
        text = f"unknown option {got!r} before the {what} (see pocketeye {' '.join([*chain, '--help'])})"
    else:
        tasks = VERBS[chain[0]] if chain else verbs
        text = str(unknown(f"{' '.join(chain)} {what}".strip(), got, tasks))
    # Who forgot the task gave the network in its place.
    shown = next(
        (EXAMPLES[key] for key in EXAMPLES if chain and key.startswith(f"{chain[0]} ")), ""
    )
    return f"{text}; the task comes first: {shown}" if shown else text


def _unknown_option(error: UnknownOptionError) -> str:
    token = error.token
    # From a file: its keys are written otherwise than options.
    if token.source != "cli":
        return str(unknown_key(token.keyword or "", token.source, error.argument_collection))
    got = (token.keyword or token.value).partition("=")[0]
    options = [n for a in error.argument_collection if a.parse for n in a.names]
    close = nearest(got, [*options, "--json", "--debug", "--config", "--help"])
    guess = f". Did you mean {close!r}?" if close else ""
    return f"unknown option {got!r}{guess}{_see_help(error)}"


def _missing(error: MissingArgumentError) -> str:
    assert error.argument is not None
    name = error.keyword or error.argument.name
    positional = error.argument.index is not None and error.keyword is None
    what = name.lstrip("-").upper() if positional else name
    return f"{what} needs a value{_see_help(error)}"


def _see_help(error: CycloptsError) -> str:
    chain = " ".join(error.command_chain or ())
    return f" (see pocketeye {chain} --help)" if chain else " (see pocketeye --help)"
