"""The data of a Grid2Op ``config.py``, read from its syntax tree: nothing in the file is executed.

Assignments of literals, lists, dicts and arithmetic on numbers are evaluated; a name that the file imports stands for
itself (``Symbol``), and a call of such a name is recorded (``Construct``). Whatever else is assigned is skipped, and
listed in ``Config.skipped``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

NUMBER_LIMIT = 1e300
"""Results of arithmetic beyond this are refused: a file cannot make the reader compute for hours."""


class Symbol(NamedTuple):
    """A class, function or constant that the file imports, by its name."""

    name: str


class Construct(NamedTuple):
    """A call that was not made, such as ``RulesByArea([[0, 1], [2]])``."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Config(NamedTuple):
    """What the file says."""

    values: dict[str, Any]
    """The entries of its dictionary ``config``."""
    skipped: tuple[str, ...]
    """Names and entries that cannot be known without executing the file."""

    def name_of(self, key: str) -> str | None:
        """The bare name of the class under a key, None when absent or None."""
        value = self.values.get(key)
        return value.name if isinstance(value, Symbol | Construct) else None


class _UnreadableError(Exception):
    """An expression that is not data."""


_FAILURES = (_UnreadableError, TypeError, ValueError, ArithmeticError, LookupError)

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}


def read_config(path: Path) -> Config:
    """Reads ``config.py``; raises ValueError when it is no Python file or defines no dictionary ``config``."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as Python: {error}; give Grid2Op's config.py") from error
    names: dict[str, Any] = {}
    skipped: list[str] = []
    _run(tree.body, names, skipped)
    config = names.get("config")
    if not isinstance(config, dict):
        raise ValueError(f"{path} defines no dictionary named `config` (found {sorted(names)}); see Grid2Op's folders")
    return Config(config, tuple(skipped))


def _run(statements: list[ast.stmt], names: dict[str, Any], skipped: list[str]) -> None:
    """Goes through statements in order; ``names`` receives what they bind."""
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                name = alias.asname or alias.name.split(".")[0]
                names[name] = Symbol(name)
        elif isinstance(statement, ast.Try):
            _run(statement.body, names, skipped)
            # An import that fails falls back on the handler's: only names the body did not bind are taken.
            fallback: dict[str, Any] = {}
            for handler in statement.handlers:
                _run(handler.body, fallback, [])
            names.update({name: value for name, value in fallback.items() if name not in names})
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets: list[ast.expr] = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            _assign(targets, statement.value, names, skipped)


def _assign(targets: list[ast.expr], value: ast.expr, names: dict[str, Any], skipped: list[str]) -> None:
    for target in targets:
        label = ast.unparse(target)
        try:
            result = _dictionary(value, names, skipped) if isinstance(value, ast.Dict) else _evaluate(value, names)
            if isinstance(target, ast.Name):
                names[target.id] = result
            elif isinstance(target, ast.Subscript):
                _evaluate(target.value, names)[_evaluate(target.slice, names)] = result
            else:
                raise _UnreadableError(label)
        except _FAILURES:
            skipped.append(label)
            if isinstance(target, ast.Name):
                names.pop(target.id, None)


def _dictionary(node: ast.Dict, names: dict[str, Any], skipped: list[str]) -> dict[Any, Any]:
    """A dictionary display, without the entries that are not data."""
    result = {}
    for key, value in zip(node.keys, node.values, strict=True):
        try:
            if key is None:
                result.update(_evaluate(value, names))
            else:
                result[_evaluate(key, names)] = _evaluate(value, names)
        except _FAILURES:
            skipped.append(ast.unparse(key if key is not None else value).strip("'\""))
    return result


def _evaluate(node: ast.expr, names: dict[str, Any]) -> Any:
    """The value of an expression that is data."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise _UnreadableError(node.id)
        return names[node.id]
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = [_evaluate(item, names) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else set(items) if isinstance(node, ast.Set) else items
    if isinstance(node, ast.Dict):
        return _dictionary(node, names, [])
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_evaluate(node.operand, names))
    if isinstance(node, ast.BinOp):
        return _arithmetic(node, names)
    if isinstance(node, ast.Call):
        return _call(node, names)
    if isinstance(node, ast.Attribute):
        return Symbol(node.attr)
    raise _UnreadableError(ast.unparse(node))


def _arithmetic(node: ast.BinOp, names: dict[str, Any]) -> Any:
    left, right = _evaluate(node.left, names), _evaluate(node.right, names)
    both = (left, right)
    numbers = all(isinstance(side, int | float) for side in both)
    joined = isinstance(node.op, ast.Add) and (all(isinstance(side, list) for side in both))
    if type(node.op) not in _BINARY or not (numbers or joined):
        raise _UnreadableError(ast.unparse(node))
    result = _BINARY[type(node.op)](left, right)
    if numbers and not abs(result) < NUMBER_LIMIT:
        raise _UnreadableError(ast.unparse(node))
    return result


def _call(node: ast.Call, names: dict[str, Any]) -> Any:
    """A call is recorded; ``array([...])`` and ``dict(...)`` are plain data under another name."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if name is None:
        raise _UnreadableError(ast.unparse(node))
    args = tuple(_evaluate(arg, names) for arg in node.args)
    kwargs = {keyword.arg: _evaluate(keyword.value, names) for keyword in node.keywords if keyword.arg}
    if name in ("array", "asarray", "list") and len(args) == 1:
        return args[0]
    if name in ("float", "int") and len(args) == 1:
        return float(args[0]) if name == "float" else int(args[0])
    if name == "dict" and not args:
        return kwargs
    return Construct(name, args, kwargs)
