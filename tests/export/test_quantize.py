"""Products in int8 are near those in float32."""

from copy import deepcopy

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from seq2seq.export.quantize import to_int8

GRAPH = """<ir_version: 9, opset_import: ["" : 20]>
g (float[B, 16] x) => (float[B, 20] y, float[B, 20] z) {
    y = MatMul(x, first)
    z = Gemm<transB = 1>(x, second, bias)
}"""


def test_products_of_the_same_rows_quantize_them_once() -> None:
    draw = np.random.default_rng(1)
    model = onnx.parser.parse_model(GRAPH)
    for name, shape in {"first": (16, 20), "second": (20, 16), "bias": (20,)}.items():
        value = draw.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    smaller = to_int8(deepcopy(model))
    assert [name for node in smaller.graph.node for name in node.output].count("x_int8") == 1
    x = draw.normal(size=(5, 16)).astype(np.float32)
    x[3] = 0
    sessions = [onnxruntime.InferenceSession(graph.SerializeToString()) for graph in (model, smaller)]
    for exact, rounded in zip(*(session.run(None, {"x": x}) for session in sessions), strict=True):
        assert not np.array_equal(exact, rounded)
        np.testing.assert_allclose(rounded, exact, atol=0.3)
