"""Values of a graph get other names, and it answers as before."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from engine.export.naming import rename

GRAPH = """
<ir_version: 9, opset_import: ["" : 18, "local" : 1]>
g (float[N] a, float[N] b, bool c) => (float[N] y) <float[1] two = {2.0}> {
  t = Mul(a, two)
  u = local.halved(t)
  y = If(c)<
    then_branch = yes () => (float[N] o) <float[1] w = {5.0}> { v = Mul(b, w)  o = Add(u, v) },
    else_branch = no () => (float[N] p) { p = If(c)<
      then_branch = never () => (float[N] q) { q = Neg(a) },
      else_branch = always () => (float[N] r) { s = Abs(b)  r = Sub(u, s) }> }>
}
<domain: "local", opset_import: ["" : 18]> halved (x) => (z) {
  v = Constant<value = float {0.5}>()
  z = Mul(x, v)
}
"""


def answers(proto: onnx.ModelProto, names: tuple[str, str]) -> list[list[float]]:
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    values = {names[0]: np.array([1, -2], np.float32), names[1]: np.array([-3, 4], np.float32)}
    return [session.run(["y"], values | {"c": np.array(one)})[0].tolist() for one in (True, False)]


@pytest.mark.parametrize(
    "names",
    [
        ("optical", "radar"),
        ("b", "a"),
        ("t", "two"),
        ("v", "w"),
        ("s", "r"),
        ("z", "x"),
        ("t/inner", "t"),
    ],
)
def test_a_graph_with_other_names_answers_as_before(names: tuple[str, str]) -> None:
    """Those of values within it, in subgraphs and functions, among them."""
    proto = parser.parse_model(GRAPH)
    expected = answers(proto, ("a", "b"))
    rename(proto.graph, {"a": names[0], "b": names[1]})
    assert [item.name for item in proto.graph.input] == [*names, "c"]
    assert answers(proto, names) == expected
