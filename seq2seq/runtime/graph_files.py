"""Checks of ONNX files before ONNX Runtime reads them: they are whole, refer to no other file, and hold no loops.

A tensor may lie outside of an ONNX file, at a path that the file names; ONNX Runtime would read it. A graph may hold
others, which it repeats for as long as it says; a function may call another twice, and so on, so that a small file
becomes a giant graph; and a sparse tensor is as large as it says. What is walked through here is the wire format of
protocol buffers, down to every tensor.
"""

from collections.abc import Iterator

from .errors import RunError

# message -> number of a field in onnx.proto -> the message that it holds
MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor"},
    "tensor": {},
}
REFUSED: dict[
    str, dict[int, str]
] = {  # message -> number of a field that no graph of a translator has -> what it holds
    "model": {20: "training", 25: "a function"},
    "graph": {15: "a sparse tensor"},
    "attribute": {6: "a graph in another", 11: "a graph in another", 22: "a sparse tensor", 23: "a sparse tensor"},
}
OPERATOR, DOMAIN = 4, 7  # fields of a node
OPERATORS = {  # that graphs of translators consist of; none of them repeats anything
    "Abs", "Add", "And", "ArgMax", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos", "CumSum",
    "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand", "Floor", "GRU", "Gather", "GatherElements",
    "GatherND", "Gelu", "Gemm", "Greater", "GreaterOrEqual", "Identity", "IsNaN", "LSTM", "LayerNormalization",
    "Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul", "MatMulIntegerToFloat", "Max", "Min", "Mod", "Mul", "Neg",
    "Not", "Or", "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceSum", "Relu", "Reshape", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Sin", "Slice",
    "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "TopK", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
DOMAINS = (b"", b"ai.onnx", b"com.microsoft")  # of ONNX, and of ONNX Runtime
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a tensor: where its data are; 0 if in this file, else elsewhere
MAX_FIELDS = 2_000_000  # of all messages: a graph of 10,000 nodes has about 200,000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
SIZES = {FIXED64: 8, FIXED32: 4}


def check_graph(content: bytes, name: str) -> None:
    """Raise RunError, which calls the file `name`, unless it is an ONNX file whose tensors are all in it."""
    try:
        _check_messages(memoryview(content))
    except ValueError as error:
        raise RunError(f"{name} {error}") from error


def _check_messages(model: memoryview) -> None:
    """Check a model and all messages in it.

    Raises ValueError, which completes "FILE ...", if it is damaged, or holds what no graph of a translator has."""
    waiting, found, count = [(model, "model")], set(), 0
    while waiting:
        content, kind = waiting.pop()
        found.add(kind)
        for number, value in _fields(content):
            count += 1
            if count > MAX_FIELDS:
                raise ValueError("has more parts than a graph of a translator")
            if (refused := REFUSED.get(kind, {}).get(number)) is not None:
                raise ValueError(f"has {refused}, which no graph of a translator has")
            if kind == "tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):
                raise ValueError("refers to another file for a tensor, which is not read")
            if kind == "node" and not _is_known(number, value):
                raise ValueError("has an operator that no graph of a translator has")
            if (inner := MESSAGES[kind].get(number)) is not None:
                if not isinstance(value, memoryview):
                    raise ValueError("is damaged: it is no ONNX file")
                waiting.append((value, inner))
    if "graph" not in found:
        raise ValueError("is damaged: it holds no graph")


def _is_known(number: int, value: int | memoryview) -> bool:
    """Whether a field of a node is no operator, or one of those above."""
    if number == OPERATOR:
        return isinstance(value, memoryview) and bytes(value[:40]).decode("ascii", "replace") in OPERATORS
    return number != DOMAIN or (isinstance(value, memoryview) and bytes(value[:40]) in DOMAINS)


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: number, and content. Raises ValueError if it is damaged."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        value: int | memoryview
        if wire == VARINT:
            value, at = _varint(content, at)
        else:
            size, at = _varint(content, at) if wire == BYTES else (SIZES.get(wire, end), at)
            value, at = content[at : at + size], at + size
        if at > end or not number:
            raise ValueError("is damaged: it is no ONNX file")
        yield number, value


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """An integer of variable length, and where it ends. Raises ValueError if it does not."""
    value = 0
    for shift, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, at + shift + 1
    raise ValueError("is damaged: it is no ONNX file")
