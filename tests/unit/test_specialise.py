"""Graphs written by hand are cut down to a scenario, and answer as ONNX Runtime answers the whole graph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import parser

from engine.availability import Scenario, scenarios
from engine.errors import ModelError
from engine.model.specialise import specialise

NAMES = ("a", "b")
A, B, BOTH = scenarios(2)
HEAD = '<ir_version: 9, opset_import: ["" : 18, "local" : 1]>'
BITS = "sees_a = Gather<axis=0>(availability, zero)  sees_b = Gather<axis=0>(availability, one)"
Values = dict[str, NDArray[np.float32]]

NESTED = f"""{HEAD}
g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y)
  <int64 zero = {{0}}, int64 one = {{1}}, float[1] outer = {{3.0}}> {{
  {BITS}
  captured = Add(outer, outer)
  y = If(sees_a)<
    then_branch = t () => (float[N,2] o) <float[1] two = {{2.0}}> {{
      twice = Mul(a, two)
      o = If(sees_b)<
        then_branch = tt () => (float[N,2] p) <float[1] five = {{5.0}}> {{
          m = Mul(b, five)  n = Add(m, twice)  p = Mul(n, captured) }},
        else_branch = te () => (float[N,2] q) {{ q = Add(twice, captured) }}> }},
    else_branch = e () => (float[N,2] r) {{ r = Mul(b, captured) }}>
}}"""

CLASHING = f"""{HEAD}
g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y) <int64 zero = {{0}}, int64 one = {{1}}> {{
  {BITS}
  p = If(sees_a)<
    then_branch = g1 () => (float[N,2] o) <float[1] w = {{2.0}}> {{ t = Mul(a, w)  o = Identity(t) }},
    else_branch = g2 () => (float[N,2] o) <float[1] w = {{0.5}}> {{
      s = Shape(a)  t = ConstantOfShape(s)  o = Add(t, w) }}>
  q = If(sees_b)<
    then_branch = g3 () => (float[N,2] o) <float[1] w = {{7.0}}> {{ t = Mul(b, w)  o = Identity(t) }},
    else_branch = g4 () => (float[N,2] o) <float[1] w = {{0.25}}> {{
      s = Shape(b)  t = ConstantOfShape(s)  o = Add(t, w) }}>
  y = Add(p, q)
}}"""

FUNCTION = f"""{HEAD}
g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y) {{ y = local.pick(a, b, availability) }}
<domain: "local", opset_import: ["" : 18]> pick (p, q, bits) => (r) {{
  zero = Constant<value = int64 {{0}}>()
  c = Gather<axis=0>(bits, zero)
  r = If(c)<then_branch = t () => (float[N,2] o) {{ o = Neg(p) }},
            else_branch = e () => (float[N,2] u) {{ u = Abs(q) }}>
}}"""

INNER_LOOP = f"""{HEAD}
g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y)
  <int64 zero = {{0}}, int64 one = {{1}}, int64 three = {{3}}, bool yes = {{1}}> {{
  {BITS}
  y = If(sees_a)<
    then_branch = t () => (float[N,2] o) <float[1] w = {{2.0}}> {{
      u = Mul(a, w)
      o = Loop(three, yes, u)<body = l (int64 i, bool c, float[N,2] s) => (bool d, float[N,2] v) {{
        d = Identity(c)  v = Mul(s, w) }}> }},
    else_branch = e () => (float[N,2] z) {{ z = Neg(b) }}>
}}"""

DATA_IF = f"""{HEAD}
g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y)
  <int64 zero = {{0}}, int64 one = {{1}}, float limit = {{0.5}}> {{
  {BITS}
  y = If(sees_a)<
    then_branch = t () => (float[N,2] o) <float[1] w = {{2.0}}> {{
      u = Mul(a, w)  m = ReduceMax<keepdims=0>(u)  c = Greater(m, limit)
      o = If(c)<then_branch = tt () => (float[N,2] i) {{ i = Mul(u, w) }},
                else_branch = te () => (float[N,2] j) {{ j = Neg(u) }}> }},
    else_branch = e () => (float[N,2] z) {{ z = Neg(b) }}>
}}"""

# What is missing counts with its own number of bands, 2 or 5, once as a whole shape and once as a part of it.
BANDS = f"""{HEAD}
g (float[N,2] a, float[N,5] b, bool[2] availability) => (float[N,1] y)
  <int64 zero = {{0}}, int64 one = {{1}}, int64[1] last = {{1}}, float[1] tenth = {{0.1}}> {{
  {BITS}
  p = If(sees_a)<
    then_branch = g1 () => (float[N,1] o) {{ o = ReduceSum(a, last) }},
    else_branch = g2 () => (float[N,1] u) {{
      s = Shape(a)  t = ConstantOfShape(s)  v = Add(t, tenth)  u = ReduceSum(v, last) }}>
  q = If(sees_b)<
    then_branch = g3 () => (float[N,1] r) {{ r = ReduceSum(b, last) }},
    else_branch = g4 () => (float[N,1] w) {{
      c = Shape<start=1>(b)  d = Cast<to=1>(c)  e = Shape<start=0, end=1>(b)  f = Cast<to=1>(e)
      h = Mul(d, f)  k = Shape(a)  l = Slice(k, zeros, ones)  m = Concat<axis=0>(l, ones)  w = Expand(h, m) }}>
  y = Add(p, q)
}}""".replace("int64[1] last", "int64[1] zeros = {0}, int64[1] ones = {1}, int64[1] last")

GRAPHS = {
    "nested": NESTED,
    "clashing": CLASHING,
    "function": FUNCTION,
    "loop": INNER_LOOP,
    "data": DATA_IF,
    "bands": BANDS,
}


def parsed(text: str, *, named: bool = False) -> onnx.ModelProto:
    """The model; a node's name is optional, so both kinds occur."""
    proto = parser.parse_model(text)
    onnx.checker.check_model(proto)
    if named:
        numbers = itertools.count()
        for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
            name_nodes(nodes, numbers)
    return proto


def name_nodes(nodes: Sequence[onnx.NodeProto], numbers: itertools.count[int]) -> None:
    for node in nodes:
        node.name = f"node_{next(numbers)}"
        for attribute in node.attribute:
            name_nodes(attribute.g.node, numbers)


def run(proto: onnx.ModelProto, values: Values, outputs: Sequence[str] = ("y",)) -> list[NDArray[np.generic]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[NDArray[np.generic]] = session.run(list(outputs), values)
    return found


def drawn(proto: onnx.ModelProto, batch: int = 3) -> Values:
    rng = np.random.default_rng(4)
    bands = {item.name: item.type.tensor_type.shape.dim[1].dim_value for item in proto.graph.input[:2]}
    return {name: rng.random((batch, size), dtype=np.float32) for name, size in bands.items()}


def of(values: Values, scenario: Scenario) -> Values:
    return {NAMES[index]: values[NAMES[index]] for index in scenario.indices}


def operators(proto: onnx.ModelProto) -> list[str]:
    return sorted(node.op_type for node in proto.graph.node if node.op_type != "Identity")


@pytest.mark.parametrize("scenario", [A, B, BOTH], ids=lambda scenario: scenario.code)
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_part_answers_as_the_whole(graph: str, named: bool, scenario: Scenario) -> None:
    whole = parsed(GRAPHS[graph], named=named)
    before = whole.SerializeToString()
    part = specialise(whole, scenario, NAMES, ["y"])
    onnx.checker.check_model(part)
    values = drawn(whole)
    expected = run(whole, values | {"availability": np.array(scenario.members)})
    np.testing.assert_allclose(run(part, of(values, scenario))[0], expected[0], rtol=1e-6, atol=1e-6)
    assert [item.name for item in part.graph.input] == [NAMES[index] for index in scenario.indices]
    assert whole.SerializeToString() == before


def test_nested_branches_leave_only_the_operators_of_the_path_taken() -> None:
    whole = parsed(NESTED)
    assert operators(specialise(whole, A, NAMES, ["y"])) == ["Add", "Add", "Mul"]
    assert operators(specialise(whole, B, NAMES, ["y"])) == ["Add", "Mul"]
    assert operators(specialise(whole, BOTH, NAMES, ["y"])) == ["Add", "Add", "Mul", "Mul", "Mul"]


def test_nested_branches_worked_out_by_hand() -> None:
    values = {"a": np.array([[1, 2]], np.float32), "b": np.array([[10, 20]], np.float32)}
    whole = parsed(NESTED)
    # captured = 6; a alone: 2a + 6; b alone: 6b; both: 6 (5b + 2a)
    for scenario, expected in ((A, [8, 10]), (B, [60, 120]), (BOTH, [312, 624])):
        assert run(specialise(whole, scenario, NAMES, ["y"]), of(values, scenario))[0].tolist() == [expected]


def test_a_branch_on_values_stays() -> None:
    assert "If" in operators(specialise(parsed(DATA_IF), A, NAMES, ["y"]))
    assert operators(specialise(parsed(DATA_IF), B, NAMES, ["y"])) == ["Neg"]


def test_weights_of_absent_modalities_go() -> None:
    weights = specialise(parsed(CLASHING), BOTH, NAMES, ["y"]).graph.initializer
    assert sorted(float(onnx.numpy_helper.to_array(item)[0]) for item in weights) == [2.0, 7.0]


def test_a_missing_modality_counts_with_its_own_number_of_bands() -> None:
    values = {"a": np.ones((3, 2), np.float32), "b": np.ones((3, 5), np.float32)}
    alone = {
        scenario: run(specialise(parsed(BANDS), scenario, NAMES, ["y"]), of(values, scenario))[0] for scenario in (A, B)
    }
    np.testing.assert_allclose(alone[A], np.full((3, 1), 2 + 5 * 3))  # bands times batch of b
    np.testing.assert_allclose(alone[B], np.full((3, 1), 5 + 2 * 0.1))


def test_a_member_that_the_path_ignores_may_still_be_given() -> None:
    part = specialise(parsed(FUNCTION), BOTH, NAMES, ["y"])
    assert run(part, {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 2), np.float32)})[0].tolist() == [[-1, -1]]


def test_outputs_that_follow_from_availability_alone_become_constants() -> None:
    text = f"""{HEAD}
    g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y, int64 count) {{
      whole = Cast<to=7>(availability)  count = ReduceSum<keepdims=0>(whole)
      share = Cast<to=1>(count)  y = Div(a, share) }}"""
    part = specialise(parsed(text), BOTH, NAMES, ["y", "count"])
    found = run(part, {name: np.ones((1, 2), np.float32) for name in NAMES}, ("y", "count"))
    assert found[0].tolist() == [[0.5, 0.5]]
    assert found[1] == 2
    assert operators(part) == ["Div"]


def test_an_output_that_is_not_wanted_takes_its_operators_along() -> None:
    text = f"""{HEAD}
    g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] shares, int64[N] classes) {{
      shares = Softmax<axis=1>(a)  classes = ArgMax<axis=1, keepdims=0>(a) }}"""
    part = specialise(parsed(text), A, NAMES, ["classes"])
    assert [item.name for item in part.graph.output] == ["classes"]
    assert operators(part) == ["ArgMax"]


def test_a_graph_that_reads_an_absent_modality_outside_of_a_branch_is_refused() -> None:
    text = f"{HEAD} g (float[N,2] a, float[N,2] b, bool[2] availability) => (float[N,2] y) {{ y = Add(a, b) }}"
    with pytest.raises(ModelError, match="needs modality b"):
        specialise(parsed(text), A, NAMES, ["y"])


def test_an_output_that_the_graph_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match="no output probs"):
        specialise(parsed(NESTED), A, NAMES, ["y", "probs"])
