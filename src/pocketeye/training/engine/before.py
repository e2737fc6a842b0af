"""Say what must be said before a training begins: at its end the hours are gone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from pocketeye.data import STANDS_IN
from pocketeye.errors import InvalidValue
from pocketeye.text import is_unicode_text

logger = logging.getLogger(__name__)


def warn_of_test_split(problems: Sequence[str]) -> None:
    """Warn where a test split chooses the best epoch, as the problems of a validation set say."""
    for problem in problems:
        # The set itself noted that another split stands in.
        if STANDS_IN in problem:
            logger.warning("%s", problem)


def require_classes(classes: Sequence[str], source: str) -> None:
    """Refuse a set in which there is nothing to tell apart.

    Raises:
        InvalidValue: it has a single class, or one whose name no file of a run could hold.
    """
    for name in classes:
        if not is_unicode_text(name):
            raise InvalidValue(
                f"the class {name!r} of {source} is not Unicode, so no file can hold it: rename it"
            )
    if len(classes) < 2:
        raise InvalidValue(
            f"{source} has a single class ({', '.join(classes) or 'none'}): there is nothing to tell "
            "apart, and a network that has learnt nothing would be right in 100 %; give the rest a "
            "class of its own"
        )


def require_objects(num_train: int, num_val: int, train: str, val: str) -> None:
    """Refuse a set without objects to learn from, and warn of one without any to validate on.

    Args:
        num_train, num_val: objects of the two parts.
        train, val: what the parts are called.

    Raises:
        InvalidValue: there is no object to learn from.
    """
    if not num_train:
        raise InvalidValue(
            f"{train} has not one annotated object, so a detector would learn to find nothing: check "
            "that the annotations lie where they are looked for (pocketeye info --data shows what is "
            "read)"
        )
    if not num_val:
        logger.warning(
            "%s has not one annotated object: no AP can be measured, and the last epoch will be kept",
            val,
        )


def require_trainable(model: nn.Module, name: str) -> None:
    """Refuse a network of which nothing is trained.

    Raises:
        InvalidValue: all parameters are frozen.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise InvalidValue(
            f"nothing of {name} would be trained, all its weights are frozen: let some stages learn"
        )


def warn_of_frozen(frozen: str, has_weights: bool) -> None:
    """Warn where ``frozen`` (in words; empty for nothing) stays as it is and nothing has trained it."""
    if frozen and not has_weights:
        logger.warning(
            "%s stays as it is, and its weights are random: begin with trained ones (--start-from), or "
            "let it learn",
            frozen,
        )
