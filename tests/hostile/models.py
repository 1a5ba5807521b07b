"""Model files that are wrong, each named by what is wrong with it; all but those of `DAMAGED` have to be refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from engine.model.document import KEY

GRAPH = """
<ir_version: 9, opset_import: ["" : 18, "local" : 1, "com.evil" : 1]>
g (uint16[N,2,4,4] optical, float[N,1,4,4] dem, bool[2] availability)
  => (uint8[N,4,4] classes, uint8[N,4,4] confidence, float[N,2,4,4] probabilities, float[N,2,4,4] logits)
  <int64 one = {1}, int64 zero = {0}, float[1] scale = {2.0}> {
  sees_dem = Gather<axis=0>(availability, one)
  sees_optical = Gather<axis=0>(availability, zero)
  values = If(sees_optical)<
    then_branch = with_optical () => (float[N,2,4,4] p) { p = Cast<to=1>(optical) },
    else_branch = without_optical () => (float[N,2,4,4] q) { s = Shape(optical)  q = ConstantOfShape(s) }>
  logits = If(sees_dem)<
    then_branch = with_dem () => (float[N,2,4,4] a) <float[1] weight = {3.0}> {
      w = Mul(dem, weight)  a = Add(values, w) },
    else_branch = without_dem () => (float[N,2,4,4] b) { b = Mul(values, scale) }>
  probabilities = Softmax<axis=1>(logits)
  index = ArgMax<axis=1, keepdims=0>(logits)
  classes = Cast<to=2>(index)
  confidence = Cast<to=2>(index)
}
"""


def document() -> dict[str, Any]:
    """Of a model that is right."""
    band = {"mean": 5.4, "std": 2.0, "minimum": 0.0, "maximum": 9.0}
    optical = [{"name": name, **band} for name in ("red", "nir")]
    return {
        "schema_version": 1,
        "name": "two",
        "engine": "0.1",
        "modalities": [
            {"name": "optical", "dtype": "uint16", "unit": "", "bands": optical},
            {"name": "dem", "dtype": "float32", "unit": "m", "bands": [{"name": "height", **band}]},
        ],
        "classes": [
            {"value": 3, "name": "water", "color": "#0000ff"},
            {"value": 7, "name": "forest", "color": "#00ff00"},
        ],
        "pixel_size": {"x": 10.0, "y": 10.0, "crs": "EPSG:32631"},
        "tile": 4,
        "halo": 1,
        "training": {"data": [], "licence": "", "network": "", "method": "", "recipe": ""},
    }


def with_document(proto: onnx.ModelProto, text: str) -> bytes:
    """The bytes of a model with a document."""
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=text)
    return proto.SerializeToString()


def right() -> bytes:
    """The model that the others differ from."""
    return with_document(parser.parse_model(GRAPH), json.dumps(document()))


def _set(*keys: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:  # noqa: ANN401 (JSON)
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


def _band(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return _set("modalities", 0, "bands", 0, key, to=value)


DOCUMENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a pixel of no size": _set("pixel_size", "x", to=0),
    "a negative pixel": _set("pixel_size", "y", to=-10),
    "an endless pixel": _set("pixel_size", "x", to=float("inf")),
    "a pixel of NaN metres": _set("pixel_size", "metres", to=float("nan")),
    "a CRS that is none": _set("pixel_size", "crs", to="EPSG:0"),
    "a CRS with a NUL": _set("pixel_size", "crs", to="EPSG:\x0032631"),
    "an area that is no degrees": _set("training", "area", to=[1e9, 2e9, 3e9, 4e9]),
    "a mean of NaN": _band("mean", float("nan")),
    "a mean above the maximum": _band("mean", 100),
    "a mean that uint16 does not hold": lambda content: content["modalities"][0]["bands"][0].update(
        mean=1e9, maximum=2e9
    ),
    "a negative deviation": _band("std", -1),
    "an endless deviation": _band("std", 1e999),
    "a scale of zero": lambda content: content["modalities"][0]["bands"][0].update(scale=0, offset=0),
    "a halo above a quarter of the tile": _set("halo", to=2),
    "a tile that no memory holds": _set("tile", to=1 << 40),
    "a tile of another size": _set("tile", to=8),
    "a seam that is unknown": _set("seam", to="glue"),
    "two classes of one value": _set("classes", 1, "value", to=3),
    "a class beyond 65534": _set("classes", 1, "value", to=70000),
    "a class of a number beyond all": _set("classes", 1, "value", to=10**4000),
    "one class": lambda content: content["classes"].pop(),
    "a class more than the graph has": lambda content: content["classes"].append(
        {"value": 9, "name": "sea", "color": "#0000ff"}
    ),
    "a class with an escape sequence": _set("classes", 0, "name", to="\x1b[2Jwater"),
    "a class that turns the writing": _set("classes", 0, "name", to="\u202eretaw"),
    "a model of two lines": _set("name", to="two\nlines"),
    "a band with a NUL": _band("name", "red\0"),
    "a modality of two lines": _set("modalities", 0, "name", to="opti\ncal"),
    "a modality called as an output": _set("modalities", 0, "name", to="logits"),
    "a data type that is none": _set("modalities", 0, "dtype", to="object"),
    "a band more than the graph takes": lambda content: content["modalities"][1]["bands"].append(
        content["modalities"][0]["bands"][0]
    ),
    "no modality": _set("modalities", to=[]),
    "a list for a name": _set("name", to=[["two"]]),
    "a key that is unknown": _set("hook", to="import os"),
    "a schema of the future": _set("schema_version", to=99),
    "a colour that is none": _set("classes", 0, "color", to="url(http://x)"),
}

TEXTS = {
    "a document without an end": json.dumps(document())[:-40],
    "a document nested too deeply": '{"name":' + "[" * 100_000 + "]" * 100_000 + "}",
    "a document of five megabytes": json.dumps(document() | {"name": "x" * 5_000_000}),
    "an empty document": "",
    "a document that is a number": "1",
}

_REPLACED = {
    "an operator that is unknown": ("Softmax<axis=1>", "Softmaxx<axis=1>"),
    "an operator of an unknown domain": ("Softmax<axis=1>(logits)", "com.evil.Run(logits)"),
    "an input that nothing makes": ("Softmax<axis=1>(logits)", "Softmax<axis=1>(nothing)"),
    "nodes in a circle": ("Softmax<axis=1>(logits)", "Add(confidence, probabilities)"),
    "nodes in disorder": (
        "index = ArgMax<axis=1, keepdims=0>(logits)\n  classes = Cast<to=2>(index)",
        "classes = Cast<to=2>(index)\n  index = ArgMax<axis=1, keepdims=0>(logits)",
    ),
    "a value made twice": ("confidence = Cast<to=2>(index)", "confidence = Cast<to=2>(index) index = Neg(index)"),
    "an output less": (
        "float[N,2,4,4] probabilities, float[N,2,4,4] logits)\n",
        "float[N,2,4,4] probabilities)\n",
    ),
    "an output of another type": ("float[N,2,4,4] probabilities,", "double[N,2,4,4] probabilities,"),
    "an output of other sizes": ("float[N,2,4,4] probabilities,", "float[N,2,8,8] probabilities,"),
    "an output of other sizes than it says": (
        "probabilities = Softmax<axis=1>(logits)",
        "soft = Softmax<axis=1>(logits) probabilities = Concat<axis=2>(soft, soft)",
    ),
    "an output without a shape": ("uint8[N,4,4] confidence", "uint8 confidence"),
    "an input of another rank": ("uint16[N,2,4,4] optical", "uint16[2,4,4] optical"),
    "an input of other tiles": ("float[N,1,4,4] dem", "float[N,1,16,16] dem"),
    "an input of batches of three": ("float[N,1,4,4] dem", "float[3,1,4,4] dem"),
    "an input more": ("bool[2] availability", "bool[2] availability, float[1] secret"),
    "an availability of numbers": ("bool[2] availability", "int64[2] availability"),
    "an absent sensor outside of a branch": (
        "probabilities = Softmax<axis=1>(logits)",
        "seen = Add(logits, dem) probabilities = Softmax<axis=1>(seen)",
    ),
    "a branch that reads what is absent": ("b = Mul(values, scale) }", "b = Mul(values, dem) }"),
    "a condition of two": ("Gather<axis=0>(availability, one)", "Identity(availability)"),
    "a condition that is no truth": (
        "sees_dem = Gather<axis=0>(availability, one)",
        "t = Gather<axis=0>(availability, one) sees_dem = Cast<to=1>(t)",
    ),
    "an index beyond the sensors": ("int64 one = {1}", "int64 one = {7}"),
    "a constant of 1e15 numbers": (
        "sees_dem = Gather<axis=0>(availability, one)",
        "t = Cast<to=7>(availability) r = Constant<value_ints=[1000000, 1000000]>() m = Mul(r, t) f = Max(r, m) "
        "huge = ConstantOfShape(f) u = Shape(huge) v = Greater(u, m) sees_dem = Gather<axis=0>(v, one)",
    ),
    "a range of 1e15 numbers": (
        "sees_dem = Gather<axis=0>(availability, one)",
        "t = Cast<to=7>(availability) c = Gather<axis=0>(t, one) big = Constant<value_int=1000000000000000>() "
        "top = Add(big, c) huge = Range(zero, top, one) d = ReduceSum<keepdims=0>(huge) sees_dem = Cast<to=9>(d)",
    ),
    "a condition expanded to 1e15 numbers": (
        "sees_dem = Gather<axis=0>(availability, one)",
        "t = Gather<axis=0>(availability, one) r = Constant<value_ints=[100000000, 10000000]>() "
        "huge = Expand(t, r) c = Cast<to=7>(huge) d = ReduceMax<keepdims=0>(c) sees_dem = Cast<to=9>(d)",
    ),
    "shapes that do not go together": ("float[1] weight = {3.0}", "float[3,1,1] weight = {3.0, 3.0, 3.0}"),
    "a reshape to what it cannot be": ("index = ArgMax<axis=1, keepdims=0>(logits)",
        "r = Constant<value_ints=[3, 5, 7]>() u = Reshape(logits, r) index = ArgMax<axis=1, keepdims=0>(u)"),
    "an attribute that is unknown": ("ArgMax<axis=1, keepdims=0>", "ArgMax<axis=1, keepdims=0, hook=1>"),
    "an axis that is none": ("Softmax<axis=1>", "Softmax<axis=77>"),
}  # fmt: skip


def _find(proto: onnx.ModelProto, operator: str) -> onnx.NodeProto:
    return next(node for node in proto.graph.node if node.op_type == operator)


def _without_branch(proto: onnx.ModelProto) -> None:
    del _find(proto, "If").attribute[1:]


def _branch_of_no_output(proto: onnx.ModelProto) -> None:
    del _find(proto, "If").attribute[0].g.output[:]


def _if_without_condition(proto: onnx.ModelProto) -> None:
    del _find(proto, "If").input[:]


def _short_weight(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(TensorProto(name="short", data_type=1, dims=[1 << 40], raw_data=b"1234"))


def _negative_weight(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(TensorProto(name="negative", data_type=1, dims=[-4], raw_data=b""))


def _type_of_weight(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = 99


def _functions_that_call_themselves(proto: onnx.ModelProto) -> None:
    for name, other in (("f", "g"), ("g", "f")):
        call = helper.make_node(other, ["x"], ["y"], domain="local")
        proto.functions.append(helper.make_function("local", name, ["x"], ["y"], [call], proto.opset_import))
    _find(proto, "Softmax").MergeFrom(onnx.NodeProto(domain="local"))
    _find(proto, "Softmax").op_type = "f"


def _functions_that_blow_up(proto: onnx.ModelProto) -> None:
    """Twenty, each of which calls the one before it ten times."""
    last = helper.make_node("Neg", ["x"], ["y"])
    for number in range(20):
        places = ["x", *(f"t{place}" for place in range(9)), "y"]
        calls = [onnx.NodeProto.FromString(last.SerializeToString()) for _ in range(10)]
        for call, before, after in zip(calls, places, places[1:], strict=False):
            call.input[:], call.output[:] = [before], [after]
        proto.functions.append(helper.make_function("local", f"f{number}", ["x"], ["y"], calls, proto.opset_import))
        last = helper.make_node(f"f{number}", ["x"], ["y"], domain="local")
    last.input[:], last.output[:] = ["logits"], ["blown"]
    proto.graph.node.append(last)


def _external(location: str, **more: str) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[2]
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)

    return change


def _sparse_elsewhere(proto: onnx.ModelProto) -> None:
    sparse = proto.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "sparse"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.ones(1, np.int64), "places"))
    sparse.values.ClearField("raw_data")
    sparse.values.data_location = TensorProto.EXTERNAL
    sparse.values.external_data.add(key="location", value="/etc/hostname")


GRAPHS: dict[str, Callable[[onnx.ModelProto], object]] = {
    "an If without a branch": _without_branch,
    "a branch without an output": _branch_of_no_output,
    "an If without a condition": _if_without_condition,
    "a weight shorter than it says": _short_weight,
    "a weight of a negative size": _negative_weight,
    "a weight of a type that is none": _type_of_weight,
    "functions that call themselves": _functions_that_call_themselves,
    "functions that blow up": _functions_that_blow_up,
    "weights in a file elsewhere": _external("../../../../../../../../etc/hostname"),
    "weights in a file that is not there": _external("none.bin"),
    "weights in a folder": _external("."),
    "weights in a file of a name with a NUL": _external("a\0b"),
    "weights of a length that is no number": _external("model.onnx", length="many"),
    "weights of an endless length": _external("model.onnx", length=str(1 << 60)),
    "weights at a negative place": _external("model.onnx", offset="-9", length="4"),
    "sparse weights elsewhere": _sparse_elsewhere,
    "no opset": lambda proto: proto.ClearField("opset_import"),
    "an opset of the future": lambda proto: setattr(proto.opset_import[0], "version", 9999),
    "no graph": lambda proto: proto.ClearField("graph"),
}


def _deep() -> bytes:
    """Branches within branches, 500 deep, of which no writer holds more than some."""
    content = b""
    for _ in range(500):
        node = b'"\x02If' + b"*" + _length(_field(b"2", content))
        content = _field(b"\x0a", node)
    return _field(b":", content)


def _length(content: bytes) -> bytes:
    size, found = len(content), b""
    while size > 127:
        found += bytes([size & 127 | 128])
        size >>= 7
    return found + bytes([size]) + content


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _length(content)


FILES: dict[str, Callable[[Path], object]] = {
    "an empty file": lambda path: path.touch(),
    "a text": lambda path: path.write_text("not a model"),
    "a folder": lambda path: path.mkdir(),
    "a pipe without a writer": lambda path: os.mkfifo(path),
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "a file of a terabyte": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    "branches nested too deeply": lambda path: path.write_bytes(_deep()),
    "a document of bytes that are no text": lambda path: path.write_bytes(right().replace(b'"two"', b'"\xff\xfeo"')),
    "a value of bytes that are no text": lambda path: path.write_bytes(right().replace(b"sees_dem", b"sees\xff\xfeem")),
    "two models in one file": lambda path: path.write_bytes(right() + right()),
    "a model without a document": lambda path: path.write_bytes(parser.parse_model(GRAPH).SerializeToString()),
}  # fmt: skip

DAMAGED = tuple(f"{what} {seed}" for what in ("cut short", "flipped bits", "shuffled pieces") for seed in range(8))
"""What a disk or network does to a file; some of it does no harm."""


def _damaged(name: str) -> bytes:
    what, seed = name.rsplit(" ", 1)
    rng = np.random.default_rng(int(seed))
    content = np.frombuffer(right(), np.uint8).copy()
    if what == "cut short":
        return content[: rng.integers(len(content))].tobytes()
    if what == "flipped bits":
        content[rng.integers(len(content), size=1 + int(seed))] ^= np.uint8(1 << rng.integers(8))
        return content.tobytes()
    pieces = np.array_split(content, 2 + int(seed))
    return b"".join(pieces[place].tobytes() for place in rng.permutation(len(pieces)))


NAMES = (*DOCUMENTS, *TEXTS, *_REPLACED, *GRAPHS, *FILES)
"""Of those that have to be refused."""


def write(name: str, path: Path) -> None:
    """Writes one of :data:`NAMES` or :data:`DAMAGED`."""
    if name in FILES:
        FILES[name](path)
        return
    if name in DAMAGED:
        path.write_bytes(_damaged(name))
        return
    text, said = GRAPH, json.dumps(document())
    if name in DOCUMENTS:
        content = document()
        DOCUMENTS[name](content)
        said = json.dumps(content)
    if name in TEXTS:
        said = TEXTS[name]
    if name in _REPLACED:
        old, new = _REPLACED[name]
        assert old in text, name
        text = text.replace(old, new)
    proto = parser.parse_model(text)
    if name in GRAPHS:
        GRAPHS[name](proto)
    path.write_bytes(with_document(proto, said))
