"""Find a code pattern in a syntax tree, and replace it.

Patterns are Python, compared as syntax trees: comments, line breaks, quotes and redundant parentheses make
no difference. `$name` stands for any expression or identifier, the same one wherever it is repeated.
`$*name` stands for any number of statements, elements or arguments. The keyword arguments of a call match in
any order.
"""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE, _MANY = "one__", "many__"
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}

Bindings = dict[str, object]


class NoMatchError(Exception):
    """The pattern does not occur exactly once."""


class Pattern:
    """What to look for, and what to put in its place."""

    def __init__(self, right: str, wrong: str) -> None:
        """Parse both; two expressions replace an expression, anything else replaces statements."""
        self._right, self._wrong = _parsed(right), _parsed(wrong)
        self._expressions = _expression(self._right), _expression(self._wrong)

    def replace_in(self, tree: ast.Module, function: str | None = None) -> None:
        """Replace the one match in `tree`, or in the one function or class of that name.

        Raises:
            NoMatchError: there are no matches, or several.
        """
        scopes = [tree] if function is None else named(tree, function)
        if len(scopes) != 1:
            message = f"{len(scopes)} functions are called `{function}`"
            raise NoMatchError(message)
        places = list(self._places(scopes[0]))
        if len(places) != 1:
            message = f"{len(places)} places match"
            raise NoMatchError(message)
        places[0].replace()
        ast.fix_missing_locations(tree)

    def count_in(self, tree: ast.AST) -> int:
        """Return how many places match."""
        return len(list(self._places(tree)))

    def _places(self, scope: ast.AST) -> Iterator[_Place]:
        right, wrong = self._expressions
        for node in ast.walk(scope):
            for field, value in ast.iter_fields(node):
                if right is not None and wrong is not None:
                    yield from _expressions(node, field, value, right, wrong)
                elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                    yield from self._statements(value)

    def _statements(self, body: list[ast.stmt]) -> Iterator[_Place]:
        for start in range(len(body)):
            for end in range(start + 1, len(body) + 1):
                bindings = _match(self._right, body[start:end], {})
                if bindings is not None:
                    yield _Place(body, slice(start, end), _filled(self._wrong, bindings))
                    break


class _Place:
    """Where a pattern matches: a slice of a list or a field of a node, and what replaces it."""

    def __init__(self, owner: object, key: slice | int | str, new: object) -> None:
        self._owner, self._key, self._new = owner, key, new

    def replace(self) -> None:
        if isinstance(self._key, str):
            setattr(self._owner, self._key, self._new)
        else:
            self._owner[self._key] = self._new  # type: ignore[index]


def named(tree: ast.AST, name: str) -> list[ast.AST]:
    """Return the functions and classes with that name."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name]


def _parsed(text: str) -> list[ast.stmt]:
    text = re.sub(r"\$\*(\w+)", rf"*{_MANY}\1", textwrap.dedent(text).strip())
    return ast.parse(re.sub(r"\$(\w+)", rf"{_ONE}\1", text)).body


def _expression(body: list[ast.stmt]) -> ast.expr | None:
    only = body[0] if len(body) == 1 else None
    return only.value if isinstance(only, ast.Expr) else None


def _expressions(
    node: ast.AST, field: str, value: object, right: ast.expr, wrong: ast.expr
) -> Iterator[_Place]:
    if isinstance(value, ast.expr):
        bindings = _match(right, value, {})
        if bindings is not None:
            yield _Place(node, field, _filled(wrong, bindings))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            if isinstance(each, ast.expr) and (bindings := _match(right, each, {})) is not None:
                yield _Place(value, index, _filled(wrong, bindings))


# --- matching ---------------------------------------------------------------------------------------------


def _match(pattern: object, found: object, bindings: Bindings) -> Bindings | None:
    """Return the bindings with which `found` is what `pattern` describes, or None."""
    name = _metavariable(pattern)
    if name is not None and isinstance(found, ast.expr | str):
        return _bound(name, found, bindings)
    if isinstance(pattern, list):
        return _match_lists(pattern, found, bindings) if isinstance(found, list) else None
    if not isinstance(pattern, ast.AST):
        return bindings if type(pattern) is type(found) and pattern == found else None
    if type(pattern) is not type(found):
        return None
    if isinstance(pattern, ast.Call) and isinstance(found, ast.Call):
        return _match_calls(pattern, found, bindings)
    return _match_fields(pattern, found, bindings)


def _match_fields(pattern: ast.AST, found: object, bindings: Bindings) -> Bindings | None:
    matched: Bindings | None = bindings
    for field in pattern._fields:
        if field not in _IGNORED and matched is not None:
            matched = _match(getattr(pattern, field, None), getattr(found, field, None), matched)
    return matched


def _match_lists(pattern: list[object], found: list[object], bindings: Bindings) -> Bindings | None:
    if not pattern:
        return None if found else bindings
    name = _many(pattern[0])
    if name is None:
        matched = _match(pattern[0], found[0], bindings) if found else None
        return None if matched is None else _match_lists(pattern[1:], found[1:], matched)
    for length in range(len(found) + 1):
        matched = _bound(name, found[:length], bindings)
        matched = None if matched is None else _match_lists(pattern[1:], found[length:], matched)
        if matched is not None:
            return matched
    return None


def _match_calls(pattern: ast.Call, found: ast.Call, bindings: Bindings) -> Bindings | None:
    matched = _match(pattern.func, found.func, bindings)
    remaining = list(found.keywords)
    for keyword in pattern.keywords:
        same = next((each for each in remaining if each.arg == keyword.arg), None)
        if same is None or matched is None:
            return None
        remaining.remove(same)
        matched = _match(keyword.value, same.value, matched)
    if matched is None:
        return None
    takes_the_rest = any(_many(each) for each in pattern.args)
    # A `$*rest` also takes the keyword arguments that the pattern does not name.
    arguments = [*found.args, *remaining] if takes_the_rest else found.args
    if remaining and not takes_the_rest:
        return None
    return _match_lists(list(pattern.args), list(arguments), matched)


def _metavariable(pattern: object) -> str | None:
    text = pattern.id if isinstance(pattern, ast.Name) else pattern
    return text if isinstance(text, str) and text.startswith(_ONE) else None


def _many(pattern: object) -> str | None:
    inner = pattern.value if isinstance(pattern, ast.Expr) else pattern
    if isinstance(inner, ast.Starred) and isinstance(inner.value, ast.Name):
        return inner.value.id if inner.value.id.startswith(_MANY) else None
    return None


def _bound(name: str, found: object, bindings: Bindings) -> Bindings | None:
    if name in bindings:
        return bindings if _text(bindings[name]) == _text(found) else None
    return {**bindings, name: found}


def _text(node: object) -> str:
    if isinstance(node, list):
        return "\n".join(_text(each) for each in node)
    return ast.unparse(node) if isinstance(node, ast.AST) else str(node)


# --- replacing --------------------------------------------------------------------------------------------


def _filled(template: object, bindings: Bindings) -> object:
    """Return a copy of `template` with each metavariable replaced by what it is bound to."""
    name = _metavariable(template)
    if name is not None:
        bound = copy.deepcopy(bindings[name])
        is_name = isinstance(template, str)
        return bound.id if is_name and isinstance(bound, ast.Name) else bound
    if isinstance(template, list):
        new: list[object] = []
        for each in template:
            bound = bindings.get(_many(each) or "")
            new += copy.deepcopy(bound) if isinstance(bound, list) else [_filled(each, bindings)]
        return new
    if not isinstance(template, ast.AST):
        return template
    node = copy.copy(template)
    for field, value in ast.iter_fields(template):
        setattr(node, field, _filled(value, bindings))
    if isinstance(node, ast.Call):
        node.keywords += [each for each in node.args if isinstance(each, ast.keyword)]
        node.args = [each for each in node.args if not isinstance(each, ast.keyword)]
    return node
