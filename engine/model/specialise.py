"""One graph for one scenario: `availability` becomes a constant, and what it does not need goes.

The graph is edited before ONNX Runtime sees it: what follows from `availability` alone is computed, each `If` on it
is replaced by the branch that is taken, and nodes, inputs and outputs that nothing needs are removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.inliner import inline_local_functions
from onnx.reference import ReferenceEvaluator

from engine.availability import Scenario
from engine.errors import EngineError, ModelError
from engine.model.document import AVAILABILITY
from engine.names import shown

_Array = NDArray[np.generic]

_MOST = 4096
"""Numbers that what is computed here may have, and what it is computed from."""

_ELEMENTWISE = {
    "Abs", "Add", "And", "BitShift", "Cast", "CastLike", "Ceil", "Clip", "Div", "Equal", "Floor", "Greater",
    "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Not", "Or",
    "Pow", "Reciprocal", "Relu", "Round", "Sign", "Sqrt", "Sub", "Sum", "Where", "Xor",
}  # fmt: skip
_OTHERS = {
    "Concat", "CumSum", "Flatten", "Gather", "GatherElements", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
"""With :data:`_ELEMENTWISE` the operators that are computed here: none makes much of little, or runs without an end."""


def specialise(
    model: onnx.ModelProto, scenario: Scenario, names: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The part of a model that maps under one scenario.

    Args:
        model: A model with an input for each of ``names`` and ``availability``; it is not changed.
        scenario: The scenario.
        names: The model's modalities, in order.
        outputs: The outputs wanted.

    Raises:
        ModelError: If the graph needs an absent modality's values all the same, lacks one of ``outputs``, or is
            malformed.
    """
    try:
        return _specialised(model, scenario, names, outputs)
    except (EngineError, MemoryError):
        raise
    except Exception as error:  # of ONNX and NumPy, whatever a malformed graph makes them raise
        raise ModelError(f"its graph cannot be cut down to a scenario: {_said(error)}; export it again") from error


def _specialised(
    model: onnx.ModelProto, scenario: Scenario, names: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    unknown = set(outputs) - {item.name for item in model.graph.output}
    if unknown:
        raise ModelError(f"its graph has no output {', '.join(sorted(unknown))}")
    result = inline_local_functions(model)
    graph = result.graph
    del graph.value_info[:]
    known = {AVAILABILITY: np.array(scenario.members)}
    nodes = _resolved(graph, list(graph.node), known, result.opset_import)
    wanted = [output for output in graph.output if output.name in outputs]
    nodes = _needed(nodes, [output.name for output in wanted])
    absent = {name for name, member in zip(names, scenario.members, strict=True) if not member}
    nodes = _rewired(nodes, absent, names[scenario.indices[0]], _static_shapes(graph), known)
    used = {name for node in nodes for name in _inputs(node)} | {output.name for output in wanted}
    inputs = [item for item in graph.input if item.name not in {AVAILABILITY, *absent}]
    weights = [item for item in graph.initializer if item.name in used]
    have = {item.name for item in weights}
    weights += [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in known.items()
        if name in used and name not in have
    ]
    for field, content in (
        (graph.node, nodes),
        (graph.input, inputs),
        (graph.output, wanted),
        (graph.initializer, weights),
    ):
        kept = [type(item).FromString(item.SerializeToString()) for item in content]
        del field[:]
        field.extend(kept)
    return result


def _subgraphs(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    return (attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH)


def _inputs(node: onnx.NodeProto) -> set[str]:
    """Every name that a node reads, in its subgraphs too."""
    names = {name for name in node.input if name}
    for graph in _subgraphs(node):
        made = {item.name for item in (*graph.input, *graph.initializer)}
        made |= {out for inner in graph.node for out in inner.output}
        read = {name for inner in graph.node for name in _inputs(inner)} | {out.name for out in graph.output}
        names |= read - made
    return names


def _resolved(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    known: dict[str, _Array],
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> list[onnx.NodeProto]:
    """``nodes`` without those that follow from ``known`` and constants, and with `If` replaced by its branch."""
    kept: list[onnx.NodeProto] = []
    constants = {item.name: item for item in graph.initializer if _small(item)}
    for node in nodes:
        if node.op_type == "If" and node.input and node.input[0] in known:
            branch = _branch(node, known[node.input[0]])
            kept += _resolved(graph, _inlined(graph, node, branch), known, opsets)
        elif node.op_type != "If" and _computable(node, known, constants):
            values = {
                name: known[name] if name in known else numpy_helper.to_array(constants[name])
                for name in node.input
                if name
            }
            known.update(zip(node.output, _computed(node, values, opsets), strict=True))
        else:
            kept.append(node)
    return kept


def _small(tensor: onnx.TensorProto) -> bool:
    return math.prod(tensor.dims) <= 64


def _computable(node: onnx.NodeProto, known: dict[str, _Array], constants: dict[str, onnx.TensorProto]) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "Constant":
        return all(one.name != "sparse_value" and one.ByteSize() < 1024 for one in node.attribute)
    names = [name for name in node.input if name]
    if not any(name in known for name in names) or not all(name in known or name in constants for name in names):
        return False
    shapes = [known[name].shape if name in known else tuple(constants[name].dims) for name in names]
    if any(math.prod(shape) > _MOST for shape in shapes):
        return False
    if node.op_type in _ELEMENTWISE:
        return math.prod(np.broadcast_shapes(*shapes)) <= _MOST
    return node.op_type in _OTHERS


def _computed(
    node: onnx.NodeProto, values: dict[str, _Array], opsets: Sequence[onnx.OperatorSetIdProto]
) -> list[_Array]:
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in values.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(name) for name in node.output],
    )
    model = onnx.helper.make_model(graph, opset_imports=list(opsets))
    try:
        found: list[_Array] = [np.asarray(value) for value in ReferenceEvaluator(model).run(None, values)]
    except Exception as error:  # of ONNX and NumPy, whatever an impossible operator makes them raise
        raise ModelError(f"its graph cannot be computed at {_told(node)}: {_said(error)}; export it again") from error
    return found


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(str(error)[:200])}"


def _told(node: onnx.NodeProto) -> str:
    return shown(f"{node.op_type} {node.name or ', '.join(node.output)}")


def _branch(node: onnx.NodeProto, condition: _Array) -> onnx.GraphProto:
    if condition.size != 1 or condition.dtype != np.bool_:
        raise ModelError(f"its graph has no single truth as the condition of {_told(node)}; export it again")
    name = "then_branch" if condition.item() else "else_branch"
    found = next((attribute.g for attribute in node.attribute if attribute.name == name), None)
    if found is None or len(found.output) != len(node.output):
        raise ModelError(f"its graph has no {name} of {len(node.output)} outputs at {_told(node)}; export it again")
    return found


def _inlined(graph: onnx.GraphProto, node: onnx.NodeProto, branch: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes of a branch, with names of their own, ending in the outputs of the `If`."""
    own = {item.name for item in branch.initializer}
    own |= {name for inner in branch.node for name in inner.output if name}
    prefix = f"{node.output[0]}/"
    names = {name: prefix + name for name in own}
    for tensor in branch.initializer:
        copy = onnx.TensorProto.FromString(tensor.SerializeToString())
        copy.name = names[tensor.name]
        graph.initializer.append(copy)
    nodes = [_renamed(inner, names, prefix) for inner in branch.node]
    for given, made in zip(node.output, branch.output, strict=True):
        nodes.append(onnx.helper.make_node("Identity", [names.get(made.name, made.name)], [given]))
    return nodes


def _renamed(node: onnx.NodeProto, names: dict[str, str], prefix: str) -> onnx.NodeProto:
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    copy.name = prefix + node.name if node.name else ""  # a name is optional, but must then differ from others
    for field in (copy.input, copy.output):
        field[:] = [names.get(name, name) for name in field]
    for graph in _subgraphs(copy):
        inner = [_renamed(item, names, prefix) for item in graph.node]
        del graph.node[:]
        graph.node.extend(inner)
        for output in graph.output:
            output.name = names.get(output.name, output.name)
    return copy


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that ``outputs`` depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= _inputs(node)
            kept.append(node)
    return kept[::-1]


def _static_shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """For each input, its sizes, 0 where a size is free."""
    return {item.name: [size.dim_value for size in item.type.tensor_type.shape.dim] for item in graph.input}


def _rewired(
    nodes: Sequence[onnx.NodeProto],
    absent: set[str],
    present: str,
    shapes: dict[str, list[int]],
    known: dict[str, _Array],
) -> list[onnx.NodeProto]:
    """Lets what only asks for an absent input's size ask a present one's: batch, rows and columns are common.

    A size that is fixed (an input's number of bands) is the absent input's own.
    """
    kept: list[onnx.NodeProto] = []
    for node in nodes:
        for name in _inputs(node) & absent:
            if node.op_type != "Shape":
                raise ModelError(f"its graph needs modality {name} ({_told(node)}) in a scenario without it")
            asked = slice(*(_attribute(node, key) for key in ("start", "end")))
            own, other = shapes[name][asked], shapes[present][asked]
            node.input[0] = present
            if own != other:
                result = node.output[0]
                node.output[0], fixed, sizes = (f"{result}/{what}" for what in ("present", "fixed", "sizes"))
                known |= {fixed: np.array(own) > 0, sizes: np.array(own, dtype=np.int64)}
                kept += [node, onnx.helper.make_node("Where", [fixed, sizes, node.output[0]], [result])]
                break
        else:
            kept.append(node)
    return kept


def _attribute(node: onnx.NodeProto, name: str) -> int | None:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), None)
