"""Simplified graphs compute the same with fewer operators."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from seq2seq.export.simplify import simplify

SIZES = [(2, 3, 5), (3, 5, 4), (1, 1, 7)]  # B, W, S: of the examples, and others
INPUTS = {
    "x": ("float", ("B", "W", 4)),
    "y": ("float", ("B", "W", 4)),
    "keys": ("float", ("B", "S", 4)),
    "mask": ("bool", ("B", "S")),
    "tokens": ("int64", ("B", "W")),
    "number": ("int64", (1,)),
    "rows_given": ("float", ("S", 4)),
    "bias_given": ("float", ("S",)),
}
PARTS = """a = MatMul(x, wide)
           q, k, v = Split<axis = 2, num_outputs = 3>(a)
           q1 = Reshape(q, heads)
           k1 = Reshape(k, heads)
           v1 = Reshape(v, heads)
           q2 = Transpose<perm = [0, 2, 1, 3]>(q1)"""
WEIGHTS = {
    "table": (9, 4), "matrix": (4, 4), "wide": (4, 12), "bias": (4,), "gain": (4,), "half": (),
}  # fmt: skip
INTEGERS = {
    "rows": [-1, 4], "flat": [-1], "heads": [0, 0, 2, 2], "last": [-1], "one": [1], "nothing": [0], "middle": [1],
    "five": [5],
}  # fmt: skip

# name -> nodes, and how many operators of some kinds remain
GRAPHS = {
    "views between rows are left out": (
        """a = Reshape(x, rows)
           b = Unsqueeze(a, middle)
           c = LayerNormalization(b, gain, bias)
           d = Squeeze(c, middle)
           out = Tanh(d)""",
        {"Reshape": 1, "Unsqueeze": 0, "Squeeze": 0},
    ),
    "a view of a view of the same shape is none": (
        "a = Reshape(x, rows) \n b = Unsqueeze(a, middle) \n c = Squeeze(b, middle) \n d = Mul(c, half) \n"
        "shape = Shape(x) \n e = Reshape(d, shape) \n out = Add(e, x)",
        {"Reshape": 0, "Unsqueeze": 0, "Squeeze": 0, "Shape": 0},
    ),
    "transposes of axes of size 1 are views": (
        "a = Unsqueeze(x, middle) \n b = Transpose<perm = [1, 0, 2, 3]>(a) \n c = Squeeze(b, nothing) \n out = Exp(c)",
        {"Transpose": 0, "Unsqueeze": 0, "Squeeze": 0},
    ),
    "others stay": ("a = Transpose<perm = [1, 0, 2]>(x) \n out = Exp(a)", {"Transpose": 1}),
    "products are of rows and join their bias": (
        "a = MatMul(x, matrix) \n b = Add(a, bias) \n c = MatMul(b, matrix) \n d = Add(bias, c) \n out = Relu(d)",
        {"Gemm": 2, "MatMul": 0, "Add": 0, "Reshape": 2},
    ),
    "sums of rows in other shapes": (
        "a = MatMul(x, matrix) \n b = Reshape(y, rows) \n c = Mul(b, gain) \n shape = Shape(y) \n"
        "d = Reshape(c, shape) \n e = Add(a, d) \n out = Softmax<axis = -1>(e)",
        {"Gemm": 1, "MatMul": 0},
    ),
    "a product with a transposed weight": (
        "t = Transpose<perm = [1, 0]>(matrix) \n a = MatMul(x, t) \n b = Add(a, bias) \nout = LogSoftmax<axis = -1>(b)",
        {"Gemm": 1, "Transpose": 0, "Add": 0, "Reshape": 2},
    ),
    "a product with a matrix that is an input": (
        "t = Transpose<perm = [1, 0]>(rows_given) \n a = MatMul(x, t) \n b = Add(a, bias_given) \n"
        "out = LogSoftmax<axis = -1>(b)",
        {"Gemm": 1, "Transpose": 0, "Add": 0, "MatMul": 0},
    ),
    "an output is computed in its shape": (
        "a = Reshape(x, rows) \n b = Exp(a) \n shape = Shape(x) \n c = Reshape(b, shape) \n out = Abs(c)",
        {"Reshape": 0},
    ),
    "parts of a split are viewed as one": (
        PARTS
        + """
           k2 = Transpose<perm = [0, 2, 3, 1]>(k1)
           k3 = Transpose<perm = [0, 1, 3, 2]>(k2)
           v2 = Transpose<perm = [0, 2, 1, 3]>(v1)
           out = Concat<axis = 3>(q2, v2, k3)""",
        {"Split": 1},
    ),
    "equal parts of a split are transposed as one": (
        PARTS
        + """
           k2 = Transpose<perm = [0, 2, 1, 3]>(k1)
           v2 = Transpose<perm = [0, 2, 1, 3]>(v1)
           b = Mul(q2, k2)
           out = Sub(b, v2)""",
        {"Split": 1, "Transpose": 1},
    ),
    "ids are embedded as rows": (
        "a = Reshape(tokens, flat) \n b = Unsqueeze(a, middle) \n c = Gather(table, b) \n d = Squeeze(c, middle) \n"
        "out = MatMul(d, matrix)",
        {"Reshape": 1, "Unsqueeze": 0, "Squeeze": 0},
    ),
    "a mask is made once": (
        """shown = Unsqueeze(mask, middle)
           m = Not(shown)
           k = Transpose<perm = [0, 2, 1]>(keys)
           a = MatMul(x, k)
           b = Where(m, lowest, a)
           c = MatMul(y, k)
           d = Where(m, lowest, c)
           e = Softmax<axis = -1>(b)
           f = Softmax<axis = -1>(d)
           out = Add(e, f)""",
        {"Where": 1, "Add": 3},
    ),
    "one number that is repeated and taken again": (
        "a = Expand(number, five) \n b = Slice(a, nothing, one, nothing, one) \n c = Cast<to = 1>(b) \n"
        "out = Mul(c, bias)",
        {"Expand": 0, "Slice": 0},
    ),
    "an output that is an input": ("a = Unsqueeze(x, middle) \n out = Squeeze(a, middle)", {"Identity": 1}),
}


def graph(nodes):
    """A model of these nodes with the inputs and constants that they read, which returns `out`."""
    inputs = ", ".join(f"{kind}[{','.join(map(str, shape))}] {name}" for name, (kind, shape) in INPUTS.items())
    header = '<ir_version: 9, opset_import: ["": 20]>'
    model = onnx.parser.parse_model(f"{header} test ({inputs}) => (float out) {{ {nodes} }}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    random = np.random.default_rng(1)
    constants = {name: random.standard_normal(shape).astype(np.float32) for name, shape in WEIGHTS.items()}
    constants |= {name: np.array(values) for name, values in INTEGERS.items()}
    constants["lowest"] = np.float32(np.finfo(np.float32).min)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    return model


def inputs(B, W, S):
    random, sizes = np.random.default_rng(B), {"B": B, "W": W, "S": S}
    made = {}
    for name, (kind, shape) in INPUTS.items():
        shape = [sizes.get(size, size) for size in shape]
        made[name] = (
            random.standard_normal(shape).astype(np.float32) if kind == "float" else random.integers(9, size=shape)
        )
    return made | {"mask": made["mask"] % 2 == 0}


def computed(model, values):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {one.name: values[one.name] for one in session.get_inputs()})[0]


@pytest.mark.parametrize(("nodes", "left"), GRAPHS.values(), ids=GRAPHS)
def test_simplified_graphs_compute_the_same(nodes, left):
    model, simple = graph(nodes), graph(nodes)
    simplify(simple, [inputs(*sizes) for sizes in SIZES[:2]])
    count = Counter(node.op_type for node in simple.graph.node)
    assert {kind: count[kind] for kind in left} == left
    for sizes in SIZES:
        values = inputs(*sizes)
        np.testing.assert_allclose(computed(simple, values), computed(model, values), rtol=0, atol=1e-6)
