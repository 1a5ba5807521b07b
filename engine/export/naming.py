"""Names of a graph's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Renames values of a graph, in its subgraphs too; what has one of the new names already gets another.

    Bodies of functions have names of their own, which stay.

    Args:
        graph: The graph; it is changed.
        names: New names by old ones; each is new for one value alone.
    """
    taken = {name for scope in _scopes(graph) for name in _names(scope)}
    changed = dict(names)
    for name in sorted((taken & set(names.values())) - set(names)):
        fresh = f"{name}/inner"
        while fresh in taken or fresh in changed.values():
            fresh += "_"
        changed[name] = fresh
    for scope in _scopes(graph):
        _change(scope, changed)


def _scopes(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _scopes(inner)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (item.name for item in (*graph.input, *graph.output, *graph.initializer))
    yield from (name for node in graph.node for name in (*node.input, *node.output))


def _change(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.name = names.get(item.name, item.name)
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
