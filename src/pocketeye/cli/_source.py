"""Read signatures out of source files, so that ``pocketeye VERB --help`` needs no import of torch.

A verb's module imports what the verb works with. Its help needs the verb's signature and docstring, and
of other modules only the words in that signature: literals, constants, groups of options. These are
found by following the imports from file to file, and nothing but them is run.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

_PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def parse(module: str) -> ast.Module:
    """Return the syntax tree of a module of ours, which is not imported."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    package = path / "__init__.py"
    # a folder that git left behind may still hold byte code, and is no package
    file = package if package.is_file() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def docstring_of(module: str, function: str) -> str:
    """Return the docstring of a function of ours."""
    node = _definition(module, function)
    assert isinstance(node, ast.FunctionDef), f"{module}.{function} is no function"
    return ast.get_docstring(node) or ""


def signature_of(module: str, function: str) -> tuple[inspect.Signature, str]:
    """Return signature (without the return type) and docstring of a function of ours.

    Annotations are types, not texts, as if the module had been imported.
    """
    node = _definition(module, function)
    assert isinstance(node, ast.FunctionDef), f"{module}.{function} is no function"
    args = node.args
    assert not args.vararg, f"{function} takes what the command line cannot"
    # Arguments without a default come first, as Python has them.
    missing = [None] * (len(args.args) - len(args.defaults))
    parameters = []
    for kind, names, defaults in (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, args.args, [*missing, *args.defaults]),
        (inspect.Parameter.KEYWORD_ONLY, args.kwonlyargs, args.kw_defaults),
    ):
        for name, default in zip(names, defaults, strict=True):
            value = inspect.Parameter.empty if default is None else _evaluate(default, module)
            parameters.append(_parameter(module, name, kind, value))
    if args.kwarg:
        parameters.append(_parameter(module, args.kwarg, inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters), ast.get_docstring(node) or ""


def _parameter(
    module: str, arg: ast.arg, kind: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    assert arg.annotation is not None, f"{module}: {arg.arg} has no type"
    annotation = _evaluate(arg.annotation, module)
    return inspect.Parameter(arg.arg, kind, default=default, annotation=annotation)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield what stands at the top of a module, and in the branch that runs of ``if TYPE_CHECKING``."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.orelse
        else:
            yield node


def _definition(module: str, name: str) -> ast.stmt | None:
    """Return the statement at the top of a module that gives a name its meaning there."""
    for node in _statements(parse(module)):
        match node:
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found) if found == name:
                return node
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return node
            case ast.AnnAssign(target=ast.Name(id=found)) if found == name:
                return node
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                if any((alias.asname or alias.name) == name for alias in names):
                    return node
            case _:
                pass
    return None


@functools.cache
def value_of(module: str, name: str) -> Any:
    """Return what a name means in a module of ours: a value, a type, a function."""
    # What is neither here nor imported is a builtin.
    node = _definition(module, name)
    match node:
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return _evaluate(value, module)
        case ast.ClassDef():
            return _options_class(module, node)
        case ast.FunctionDef():
            return _compiled(module, node)
        case ast.ImportFrom(module=str() as origin, names=names):
            real = next(a.name for a in names if (a.asname or a.name) == name)
            if not origin.startswith("pocketeye"):
                return getattr(import_module(origin), real)
            return value_of(origin, real)
        case ast.Import(names=names):
            return import_module(next(a.name for a in names if (a.asname or a.name) == name))
    return getattr(builtins, name)


def _evaluate(node: ast.expr, module: str) -> Any:
    names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    scope = {name: value_of(module, name) for name in names}
    code = compile(ast.Expression(node), module, "eval")
    return eval(code, scope)


def _options_class(module: str, node: ast.ClassDef) -> Any:
    """Make a group of options, a TypedDict; its docstring describes them for the help."""
    fields: dict[str, Any] = {}
    for base in node.bases:
        kind = _evaluate(base, module)
        fields |= typing.get_type_hints(kind) if kind is not TypedDict else {}
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            fields[child.target.id] = _evaluate(child.annotation, module)
    made: Any = TypedDict(node.name, fields, total=False)  # type: ignore[misc]
    made.__doc__ = ast.get_docstring(node)
    for later in parse(module).body:  # as a module completes the docstring of a class it has made
        if isinstance(later, ast.Expr) and isinstance(later.value, ast.Call):
            call = later.value
            if any(isinstance(arg, ast.Name) and arg.id == node.name for arg in call.args):
                others = {
                    arg.id: value_of(module, arg.id)
                    for arg in [call.func, *call.args]
                    if isinstance(arg, ast.Name) and arg.id != node.name
                }
                code = compile(ast.Expression(call), module, "eval")
                eval(code, {**others, node.name: made})
    return made


def _compiled(module: str, node: ast.FunctionDef) -> Any:
    """Run the definition of a function, with the modules that its body names."""
    scope: dict[str, Any] = {}
    plain = ast.FunctionDef(**{**vars(node), "returns": None, "decorator_list": []})
    for arg in [*plain.args.args, *plain.args.kwonlyargs]:
        arg.annotation = None
    body = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name)}
    for name in body:
        if isinstance(_definition(module, name), ast.Import):
            scope[name] = value_of(module, name)
    exec(compile(ast.Module([plain], []), module, "exec"), scope)
    return scope[node.name]
