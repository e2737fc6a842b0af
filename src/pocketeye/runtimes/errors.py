"""Define what runtimes say of a network or an installation that they cannot use."""

from __future__ import annotations

from pocketeye.errors import InvalidValue


class MissingOperator(InvalidValue):
    """Tell that a runtime lacks an operator; the message names operator and layer."""


def missing_operator(
    runtime: str, operator: str | None, layer: str | None, reason: str
) -> MissingOperator:
    """Make the error for a network that a runtime cannot take.

    Args:
        operator: that it lacks; None where its own message does not tell.
        layer: path of the module that uses it; None where unknown, "" in the network's own forward.
        reason: what the runtime said, of which a line is shown where the operator is unknown.
    """
    if operator is None:
        lines = [line.strip() for line in reason.strip().splitlines() if line.strip()]
        return MissingOperator(
            f"the runtime {runtime!r} cannot take this network ({lines[-1] if lines else reason:.200}): "
            "export it to another one (--to onnxruntime)"
        )
    where = "" if layer is None else f" in the layer {layer!r}" if layer else " in its own forward"
    return MissingOperator(
        f"the runtime {runtime!r} lacks the operator {operator!r} that this network uses{where}: export "
        "it to another one (--to onnxruntime), or replace that layer"
    )
