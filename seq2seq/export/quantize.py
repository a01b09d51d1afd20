"""Smaller and faster graphs: products in int8, tables and recurrent layers stored in int8, or weights in float16.

A product x W^T + b scales each row of x by itself, so that what a sentence gives does not depend on its batch:

    s = max |x|,  q = round(127 x / s),  y = (s / 127) r (q Q^T) + b,  W = r Q row by row, Q in int8

A row of zeros has q of any value, and y = b as s = 0. Other products, such as those with the memory, stay in float32.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from seq2seq.runtime.interface import OUTPUT_PREFIX, OUTPUT_ROWS

ROWS, ROW_SCALES = OUTPUT_ROWS[0], f"{OUTPUT_PREFIX}scales"  # of the candidates of a shortlist: (H, V') in int8, (V')
LEAST = 256  # weights; smaller tables stay as they are
LEVELS = 127  # of either sign
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators


def to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with weights in int8; changed in place."""
    graph = _Rewriter(model)
    for node in graph.nodes():
        weights = [graph.weight(name) for name in node.input]
        match node.op_type:
            case "Gather" if node.output[0] == ROWS:
                graph.replace(node, _candidate_rows(graph, node))
            case "Gemm" if node.input[1] == ROWS:
                graph.replace(node, _candidate_product(graph, node))
            case "Gemm" if weights[1] is not None and not _attribute(node, "transA"):
                weight = weights[1] if _attribute(node, "transB") else weights[1].T
                graph.replace(node, _product(graph, node, weight, node.input[2:]))
            case "MatMul" if weights[1] is not None and weights[1].ndim == 2:
                graph.replace(node, _product(graph, node, weights[1].T, ()))
            case "Gather" if weights[0] is not None and weights[0].ndim == 2 and not _attribute(node, "axis"):
                graph.replace(node, _lookup(graph, node, weights[0]))
            case "LSTM" | "GRU":
                for at in (1, 2):
                    _store_rows(graph, node, at)
    return graph.finish()


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with weights stored in float16, which are computed with in float32; changed in place."""
    graph = _Rewriter(model)
    for initializer in list(model.graph.initializer):
        weight = graph.weight(initializer.name)
        if weight is not None:
            half = graph.constant(initializer.name + "_half", weight.astype(np.float16))
            cast = helper.make_node("Cast", [half], [initializer.name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
            model.graph.initializer.remove(initializer)
    return graph.finish()


class _Rewriter:
    """The nodes and weights of a graph while nodes are replaced."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.names: set[str] = set()  # of the constants that were added
        self.rounded: set[str] = set()  # values whose quantized rows are there
        self.positive = {node.output[0] for node in self.graph.node if node.op_type in {"Relu", "Sigmoid", "Softmax"}}

    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes as they are now."""
        return list(self.graph.node)

    def weight(self, name: str) -> NDArray[np.float32] | None:
        """A constant that is worth storing in fewer bits."""
        tensor = self.weights.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
            return None
        value = numpy_helper.to_array(tensor)
        return value if value.ndim > 1 and value.size >= LEAST else None

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        """Add a constant, unless there is one of this name."""
        if name not in self.names:
            self.names.add(name)
            self.graph.initializer.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    @staticmethod
    def rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """A weight (N, K) as int8 (N, K) and the scale of each row (N,)."""
        scales = np.maximum(np.abs(weight).max(1), np.finfo(np.float32).tiny) / LEVELS
        return np.rint(weight / scales[:, None]).astype(np.int8), scales.astype(np.float32)

    def replace(self, node: onnx.NodeProto, nodes: Iterable[onnx.NodeProto]) -> None:
        """Put `nodes` in the place of one."""
        at = list(self.graph.node).index(node)
        self.graph.node.remove(node)
        for offset, new in enumerate(nodes):
            self.graph.node.insert(at + offset, new)

    def finish(self) -> onnx.ModelProto:
        """Remove the weights that no node reads, and import the operators that are used."""
        read = {name for node in self.graph.node for name in node.input} | {o.name for o in self.graph.output}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        if all(opset.domain != MICROSOFT for opset in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return self.model


def _attribute(node: onnx.NodeProto, name: str) -> int:
    """An integer attribute, 0 if it is not there."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


def _product(
    graph: _Rewriter, node: onnx.NodeProto, weight: NDArray[np.float32], bias: Sequence[str]
) -> list[onnx.NodeProto]:
    """x W^T + b of a weight (N, K)."""
    name = node.input[1]
    quantized, scales = graph.rows(weight)
    q = graph.constant(name + "_int8_columns", quantized.T)
    r = graph.constant(name + "_scales", scales)
    return _scaled_product(graph, node, q, r, bias)


def _scaled_product(
    graph: _Rewriter, node: onnx.NodeProto, q: str, r: str, bias: Sequence[str]
) -> list[onnx.NodeProto]:
    """The same, of a weight in int8 (K, N) and the scales of its columns (N)."""
    base = node.output[0]
    level, zero = (
        graph.constant("int8_level", np.float32(1 / LEVELS)),
        graph.constant("int8_zero", np.uint8(LEVELS + 1)),
    )
    rounding, rounded, scale = _rounded_rows(graph, node.input[0], level, zero)
    product, scaled = base + "_product", base + "_scaled" if bias else base
    return [
        *rounding,
        helper.make_node("MatMulIntegerToFloat", [rounded, q, level, r, zero], [product], domain=MICROSOFT),
        helper.make_node("Mul", [product, scale], [scaled]),
        *(helper.make_node("Add", [scaled, part], [base]) for part in bias),
    ]


def _candidate_rows(graph: _Rewriter, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The rows of the output layer for some candidates in int8, as the step reads them, and their scales."""
    name, candidates = node.input
    quantized, scales = graph.rows(numpy_helper.to_array(graph.weights[name]))
    q, r = graph.constant(name + "_int8", quantized), graph.constant(name + "_each_scale", scales)
    _set_int8(graph.graph.output)
    graph.graph.output.append(helper.make_tensor_value_info(ROW_SCALES, onnx.TensorProto.FLOAT, None))
    return [
        helper.make_node("Gather", [q, candidates], [ROWS + "_found"]),
        helper.make_node("Transpose", [ROWS + "_found"], [ROWS], perm=[1, 0]),
        helper.make_node("Gather", [r, candidates], [ROW_SCALES]),
    ]


def _candidate_product(graph: _Rewriter, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The product of a step with them."""
    bias, tensor = node.input[2], _set_int8(graph.graph.input)
    rows, size = tensor.shape.dim
    scales = [rows.dim_param or rows.dim_value]
    graph.graph.input.append(helper.make_tensor_value_info(ROW_SCALES, onnx.TensorProto.FLOAT, scales))
    for reader in graph.graph.node:
        if reader.op_type == "Shape" and reader.input[0] == ROWS:
            reader.input[0] = bias  # whose only axis is the first one of the rows
    tensor.shape.CopyFrom(onnx.TensorShapeProto(dim=[size, rows]))
    return _scaled_product(graph, node, ROWS, ROW_SCALES, [bias])


def _set_int8(values: Iterable[onnx.ValueInfoProto]) -> onnx.TypeProto.Tensor:
    """The type of the candidates' rows among inputs or outputs, which becomes int8."""
    tensor = next(value.type.tensor_type for value in values if value.name == ROWS)
    tensor.elem_type = onnx.TensorProto.INT8
    return tensor


def _rounded_rows(graph: _Rewriter, x: str, level: str, zero: str) -> tuple[list[onnx.NodeProto], str, str]:
    """Nodes for the quantized rows of x and their scales, and the names of both; several products of x share them."""
    rounded, scale = x + "_int8", x + "_scale"
    if x in graph.rounded:
        return [], rounded, scale
    graph.rounded.add(x)
    size = x if x in graph.positive else x + "_size"
    nodes = [
        helper.make_node("ReduceMax", [size, graph.constant("int8_last_axis", np.array([-1]))], [scale], keepdims=1),
        helper.make_node("Div", [x, scale], [x + "_ratio"]),
        helper.make_node("QuantizeLinear", [x + "_ratio", level, zero], [rounded]),
    ]
    return nodes if size == x else [helper.make_node("Abs", [x], [size]), *nodes], rounded, scale


def _lookup(graph: _Rewriter, node: onnx.NodeProto, table: NDArray[np.float32]) -> list[onnx.NodeProto]:
    """Rows of a table (V, E)."""
    base, name = node.output[0], node.input[0]
    quantized, scales = graph.rows(table)
    q, r = graph.constant(name + "_int8", quantized), graph.constant(name + "_row_scales", scales[:, None])
    found, scale, number = (f"{base}_{part}" for part in ("found", "found_scale", "number"))
    return [
        helper.make_node("Gather", [q, node.input[1]], [found]),
        helper.make_node("Gather", [r, node.input[1]], [scale]),
        helper.make_node("Cast", [found], [number], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [number, scale], [base]),
    ]


def _store_rows(graph: _Rewriter, node: onnx.NodeProto, at: int) -> None:
    """Store an input (1, N, K) of a recurrent layer in int8."""
    name = node.input[at]
    weight = graph.weight(name)
    if weight is None:
        return
    quantized, scales = graph.rows(weight[0])
    q, r = graph.constant(name + "_int8", quantized[None]), graph.constant(name + "_scales", scales)
    node.input[at] = name + "_float"
    restored = helper.make_node("DequantizeLinear", [q, r], [name + "_float"], axis=1)
    graph.graph.node.insert(list(graph.graph.node).index(node), restored)
