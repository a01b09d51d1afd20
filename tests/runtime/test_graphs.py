"""Models as ONNX graphs: what the runtime computes with graphs that are made by hand, and those that do not fit."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.errors import ConfigError, RunError
from seq2seq.ids import PAD
from seq2seq.runtime import cpu, graphs
from seq2seq.runtime.bundle import write_bundle
from seq2seq.runtime.graphs import Graph, GraphModel
from seq2seq.runtime.translator import Translator
from tests.runtime.bundles import config

TOKENIZER = train_tokenizer(["the cat sleeps"] * 9, kind="char", size=40)
SIZE = TOKENIZER.size
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
CONSTANTS = {"one": [1], "zero": 0, "axis": [1], "vocabulary": [SIZE], "large": 10**6, "negative": -(10**6)}

Shape = Sequence[Any] | None


def node(kind: str, inputs: str, outputs: str, **settings: Any) -> onnx.NodeProto:
    """A node; inputs and outputs are names with spaces between them."""
    return helper.make_node(kind, inputs.split(), outputs.split(), **settings)


def graph(nodes: Sequence[onnx.NodeProto], inputs: dict[str, tuple[int, Shape]], outputs: dict[str, int]) -> bytes:
    """A graph. inputs: name -> dtype and shape; outputs: name -> dtype"""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs.items()],
        initializer=[numpy_helper.from_array(np.array(value, np.int64), name) for name, value in CONSTANTS.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def encoder(*nodes: onnx.NodeProto, **outputs: int) -> bytes:
    """An encoder that returns the copied ids as memory, besides `outputs` of `nodes`."""
    nodes = nodes if any("memory" in one.output for one in nodes) else (node("Identity", "copy", "memory"), *nodes)
    ids = {name: (INT, ["B", "S"]) for name in ("source", "copy")}
    return graph(nodes, ids, {"memory": INT, **outputs})


def step(
    *nodes: onnx.NodeProto, copies: bool = False, inputs: dict[str, tuple[int, Shape]] | None = None, **outputs: int
) -> bytes:
    """A step in which id i has the log-probability -i. `nodes` may make other outputs from what is computed."""
    size = [
        node("Shape", "memory", "source_length", start=1, end=2),
        *([node("Add", "vocabulary source_length", "size")] if copies else [node("Identity", "vocabulary", "size")]),
    ]
    common = [
        *size,
        node("Shape", "tokens", "batch"),
        node("Concat", "batch size", "full", axis=0),
        node("Squeeze", "size", "end"),
        node("Squeeze", "one", "delta"),
        node("Range", "zero end delta", "range"),
        node("Neg", "range", "falling"),
        node("Cast", "falling", "row", to=FLOAT),
        node("Expand", "row full", "every"),
        node("Reshape", "count one", "k"),
        node("TopK", "every k", "best numbers", axis=-1),
    ]
    made = {name for one in nodes for name in one.output}
    usual = {"log_probs": "every", "scores": "best", "ids": "numbers"}
    common += [node("Identity", value, name) for name, value in usual.items() if name not in made]
    given = {"tokens": (INT, ["B", "W"]), "count": (INT, []), "memory": (INT, None)} | (inputs or {})
    return graph([*common, *nodes], given, {"log_probs": FLOAT, "scores": FLOAT, "ids": INT} | outputs)


def block(*shape: Any, returned: str = "own_keys0") -> bytes:
    """A step of a Transformer with a block of this shape, whose new keys are `returned`."""
    inputs = {"own_keys0": (FLOAT, shape or None), "past": (BOOL, None)}
    return step(node("Identity", returned, "next_own_keys0"), inputs=inputs, next_own_keys0=FLOAT)


STATE = step(node("Identity", "hidden", "next_hidden"), inputs={"hidden": (INT, None)}, next_hidden=INT)
MISFITS: dict[str, tuple[bytes, bytes, str]] = {
    "scores of one dimension less": (encoder(), step(node("ReduceMax", "best axis", "scores", keepdims=0)), "scores"),
    "ids of one dimension less": (encoder(), step(node("ReduceMax", "numbers axis", "ids", keepdims=0)), "ids has"),
    "ids of another type": (encoder(), step(node("Cast", "numbers", "ids", to=FLOAT), ids=FLOAT), "its ids are not"),
    "ids above all": (encoder(), step(node("Add", "numbers large", "ids")), "its ids are not those of"),
    "ids below 0": (encoder(), step(node("Add", "numbers negative", "ids")), "its ids are not those of"),
    "no scores": (encoder(), graph([node("Identity", "count", "ids")], {"count": (INT, [])}, {"ids": INT}), "'scores'"),
    "a memory of no sentence": (encoder(node("Identity", "zero", "memory")), step(), r"memory has the shape \[\]"),
    "a state of one sentence": (encoder(node("Identity", "one", "start_hidden"), start_hidden=INT), STATE, "start_hid"),
    "a state of none": (encoder(node("Identity", "zero", "start_hidden"), start_hidden=INT), STATE, "start_hidden has"),
    "a state from nowhere": (encoder(), STATE, "'hidden'"),
    "a state that is not returned": (
        encoder(node("Identity", "source", "start_hidden"), start_hidden=INT),
        step(inputs={"hidden": (INT, None)}), "'hidden'",
    ),
    "a block without a shape": (encoder(), block(), "'own_keys0'"),
    "a block of two dimensions": (encoder(), block("B", "H"), "'own_keys0'"),
    "a block of any size": (encoder(), block("B", "H", "T", "G", "D"), "'own_keys0'"),
    "a block of a giant size": (encoder(), block("B", 10**9, "T", "G", 10**9), "'own_keys0'"),
    "keys of another shape": (encoder(), block("B", 2, "T", "G", 3), "next_own_keys0 has the shape"),
    "a past without blocks": (encoder(), step(inputs={"past": (BOOL, None)}), "'past'"),
    "candidates that are not read": (encoder(), step(inputs={"logit_mask": (FLOAT, None)}), "'logit_mask'"),
    "an input whose name is not UTF-8": (encoder().replace(b"source", b"sourc\xff"), step(), "cannot be read by ONNX"),
    "an absent value whose name is not UTF-8": (
        encoder(node("Identity", "absent", "memory")).replace(b"absent", b"absen\xff"), step(), "cannot be read by ONNX"
    ),
    "a giant output": (
        encoder(), step(node("Expand", "every full", "scores"), node("ConstantOfShape", "large", "ids")), "a graph"
    ),
}  # fmt: skip


def opened(path: Path, *graphs: bytes) -> Translator:
    """The translator of a bundle of two graphs."""
    files = dict(zip(("encoder.onnx", "step.onnx"), graphs, strict=True))
    write_bundle(path, config(SIZE, SIZE, True), {"tokenizer.spm": TOKENIZER.serialized, **files})
    return Translator.open(path)


def test_graphs_made_by_hand_are_translated_with(tmp_path: Path) -> None:
    translator = opened(tmp_path / "a", encoder(), step())
    assert translator.score(["the cat"], [""]) == [-3.0]


@pytest.mark.parametrize("case", MISFITS)
def test_graphs_that_do_not_fit_their_bundle_are_refused(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one sentence that names the bundle; ONNX Runtime prints nothing."""
    *graphs, why = MISFITS[case]
    translator = opened(tmp_path / "a.s2s", *graphs)
    with pytest.raises(RunError, match=rf"^\S*a\.s2s: .*{why}"):
        translator.translate(["the cat", "a", "cat sleeps"])
    assert capfd.readouterr() == ("", "")


def test_as_many_ids_are_returned_as_a_model_that_copies_has() -> None:
    model = GraphModel(Graph(encoder()), Graph(step(copies=True)), SIZE, copies=True)
    source, start, forbidden = np.full((2, 7), 4), np.zeros((2, 1), np.int64), np.full((2, 1, 1), PAD)
    found = model.encode(source, source).step(start, start, forbidden, SIZE + 3, log_probs=True)
    assert found.ids.tolist() == [[[*range(1, SIZE + 4)]]] * 2
    assert found.log_probs is not None
    assert found.log_probs.shape == (2, 1, SIZE + 7)


def test_candidates_need_graphs_with_a_shortlist() -> None:
    model = GraphModel(Graph(encoder()), Graph(step()), SIZE)
    with pytest.raises(RunError, match="it takes no shortlist"):
        model.encode(np.full((1, 2), 4), None, np.arange(4), np.zeros((1, 4), np.float32))


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("processor : 0\nflags\t\t: sse avx2 avx512_vnni amx_int8\n", True),
        ("flags : avx2 avx_vnni\n", True),
        ("flags : sse avx2 avx512f\n", False),
        ("Features : asimd\n", False),
        (None, False),
    ],
)
def test_products_of_int8_do_not_overflow(
    info: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime computes them in uint8 where the CPU has no VNNI, and as they are where it has."""
    if info is not None:
        (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(cpu, "CPU_INFO", str(tmp_path / "cpuinfo"))
    monkeypatch.setattr(cpu, "cpu_flags", cpu.cpu_flags.__wrapped__)
    assert cpu.has_vnni() == expected
    monkeypatch.setattr(graphs, "has_vnni", lambda: expected)
    product = Graph(int8_product(64))
    options = product.session.get_session_options()
    if expected:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry("session.x64quantprecision")
    else:
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    x = np.full((2, 64), 255, np.uint8)
    np.testing.assert_array_equal(product.run({"x": x}, ["y"])["y"], np.full((2, 4), 64 * 127 * 127, np.float32))


def int8_product(size: int) -> bytes:
    """The product of x and a weight (size, 4), all at their largest."""
    values = {"w": np.full((size, 4), 127, np.int8), "s": np.float32(1), "r": np.float32(1), "z": np.uint8(128)}
    made = helper.make_graph(
        [helper.make_node("MatMulIntegerToFloat", ["x", "w", "s", "r", "z"], ["y"], domain="com.microsoft")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["B", size])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        initializer=[numpy_helper.from_array(np.array(value), name) for name, value in values.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"^a\.s2s needs the package onnxruntime: pip install onnxruntime$"):
        Graph(encoder(), name="a.s2s")


def test_full_memory_is_no_misfit() -> None:
    """More than a process can address."""
    made = graph([node("ConstantOfShape", "size", "y")], {"size": (INT, [1])}, {"y": FLOAT})
    with pytest.raises(MemoryError):
        Graph(made).run({"size": np.array([10**15])}, ["y"])
