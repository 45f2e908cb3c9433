"""Nodes to plain values, with nothing accepted that a reviewer could misread.

libyaml composes nodes, and we convert each document at once: faster than PyYAML's own constructors, and with
the types of YAML 1.2. The fast way (`_convert`) only refuses; where it does, `_examine` walks the same nodes
slowly and says what is wrong, and where.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, ScalarNode

from reconciler.credentials.redaction import key_text
from reconciler.manifest.lint import rules
from reconciler.manifest.yaml.composer import MAX_DEPTH, compose, find_unsupported, require_readable, span_of
from reconciler.manifest.yaml.document import YamlDocument
from reconciler.manifest.yaml.problem import YamlProblem, YamlRefused
from reconciler.manifest.yaml.scalars import MAX_NUMBER, TYPED_START, NumberTooLong, plain_value
from reconciler.manifest.yaml.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import Node

    from reconciler.diagnostics import Rule
    from reconciler.manifest.yaml.problem import Span


def parse_nodes(data: bytes) -> Iterator[YamlDocument]:
    """Do what `loader.parse` does, by libyaml alone: the reference."""
    require_readable(data)
    unsupported = find_unsupported(data)
    number = 0
    try:
        for root in islice(compose(data), unsupported.sound):
            if number in unsupported.found:
                yield YamlDocument(None, None, tuple(unsupported.found[number]))
            elif root.value or root.__class__ is not ScalarNode or root.style:
                yield _document(root)
            number += 1
        if unsupported.too_large:
            raise unsupported.too_large
    except YamlRefused as refused:
        problems = tuple(unsupported.found.get(number, ()))
        if problems:
            yield YamlDocument(None, None, problems)
        # An alias without its anchor is refused by libyaml, too: once is enough.
        place = refused.problem.span[:2]
        if place not in {problem.span[:2] for problem in problems}:
            raise


class _Unconvertible(Exception):
    """`_examine` knows why."""


def _document(root: Node) -> YamlDocument:
    """Return the document under `root`, or its problems."""
    try:
        return YamlDocument(_convert(root, 1), Tree(root))
    except (_Unconvertible, NumberTooLong):
        return YamlDocument(None, Tree(root), tuple(_examine(root, 1)))


def _convert(node: Node, depth: int) -> Any:
    """Return a node's value. Strings are converted in place: most nodes are strings."""
    if node.__class__ is ScalarNode:
        return _scalar(node)
    if depth > MAX_DEPTH:
        raise _Unconvertible
    if node.__class__ is not MappingNode:
        return [
            item.value
            if item.__class__ is ScalarNode and (item.style or item.value[:1] not in TYPED_START)
            else _convert(item, depth + 1)
            for item in node.value
        ]
    result = {}
    for key, child in node.value:
        name = key.value
        if key.__class__ is not ScalarNode or not (
            key.style or name[:1] not in TYPED_START or isinstance(plain_value(name), str)
        ):
            raise _Unconvertible
        if child.__class__ is ScalarNode and (child.style or child.value[:1] not in TYPED_START):
            result[name] = child.value
        else:
            result[name] = _convert(child, depth + 1)
    if len(result) != len(node.value):
        raise _Unconvertible
    return result


def _scalar(node: ScalarNode) -> Any:
    """Return a scalar's value: quoted and block scalars are strings."""
    return node.value if node.style else plain_value(node.value)


def _examine(node: Node, depth: int) -> Iterator[YamlProblem]:
    """Yield everything that keeps a node from having a value."""
    if isinstance(node, ScalarNode):
        try:
            _scalar(node)
        except NumberTooLong:
            yield _problem(rules.TOO_LARGE, f"a number has more than {MAX_NUMBER} characters", node)
    elif depth > MAX_DEPTH:
        yield _problem(rules.TOO_LARGE, f"the document has more than {MAX_DEPTH} levels", node)
    elif isinstance(node, MappingNode):
        yield from _examine_keys(node)
        for _, child in node.value:
            yield from _examine(child, depth + 1)
    else:
        for item in node.value:
            yield from _examine(item, depth + 1)


def _examine_keys(node: MappingNode) -> Iterator[YamlProblem]:
    """Yield what is wrong with the keys of a mapping."""
    first: dict[str, Node] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            yield _problem(rules.UNSUPPORTED_YAML, "a key must be a string, not a list or mapping", key)
        elif not _is_text(key):
            hint = "put it in quotes"
            yield _problem(rules.KEY_NOT_TEXT, f"the key `{key_text(key.value)}` is not a string", key, hint)
        elif key.value in first:
            also = span_of(first[key.value])
            message = f"the key `{key_text(key.value)}` stands here twice"
            yield _problem(rules.DUPLICATE_KEY, message, key, also=also)
        else:
            first[key.value] = key


def _is_text(key: ScalarNode) -> bool:
    """Return whether a key is a string."""
    try:
        return isinstance(_scalar(key), str)
    except NumberTooLong:
        return False


def _problem(
    rule: Rule, message: str, node: Node, hint: str | None = None, also: Span | None = None
) -> YamlProblem:
    """Return a problem at a node."""
    return YamlProblem(rule, message, span_of(node), hint, also)
