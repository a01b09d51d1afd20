"""The two graphs of a translator in ONNX, with the inputs and outputs that its model needs."""

from collections.abc import Callable, Iterable, Sequence

import onnx
import torch

from seq2seq.export import recurrent
from seq2seq.export.graph_bundle import GraphExporter, SavedGraph
from seq2seq.export.graphs import Traced, trace
from seq2seq.export.quantize import to_float16, to_int8
from seq2seq.export.simplify import keep, simplify, sources
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runtime.bundle import NEXT, START

OPSET = 20  # of ONNX's operators; ONNX Runtime reads it from 1.17 on
PRECISIONS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {  # dtype -> changes a graph in float32
    "float32": lambda graph: graph,
    "int8": to_int8,
    "float16": to_float16,
}


class OnnxExporter(GraphExporter):
    """Bundles of graphs in ONNX, in several precisions."""

    kind = "onnx"

    def trace(self, model: EncoderDecoder) -> Sequence[bytes]:
        """As GraphExporter."""
        return [graph.SerializeToString() for graph in onnx_graphs(model, self.shortlist)]

    def save(self, graph: bytes, dtype: str) -> SavedGraph:
        """As GraphExporter."""
        changed = PRECISIONS[dtype](onnx.load_from_string(graph))
        return SavedGraph(changed.SerializeToString(), [one.name for one in changed.graph.input])


def onnx_graphs(model: EncoderDecoder, shortlist: bool = False) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The encoder and the step of a model in evaluation mode, in float32.

    The step has the states that its results depend on, the encoder the outputs that the step reads. shortlist: the
    step computes the candidates of a shortlist alone, whose rows of the output layer the encoder gathers."""
    traced = trace(model, recurrent.with_nodes, shortlist)
    encoder, step = map(_convert, traced)
    keep(step, _names(step.graph.output) - _idle_states(step))
    read = _names(step.graph.input)
    keep(encoder, {name for name in _names(encoder.graph.output) if name.removeprefix(START) in read})
    for graph, (*_, examples) in zip((encoder, step), traced, strict=True):
        simplify(graph, [{name: value.numpy() for name, value in inputs.items()} for inputs in examples])
    return encoder, step


def _convert(traced: Traced) -> onnx.ModelProto:
    """The nodes of a traced graph."""
    program = torch.onnx.export(
        traced.program,
        input_names=traced.inputs,
        output_names=traced.outputs,
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        custom_translation_table=recurrent.TRANSLATIONS,
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    for value, name in zip(model.graph.input, traced.inputs, strict=True):
        if value.name != name:  # torch 2.8 renames an input that is an output
            model.graph.node.insert(0, onnx.helper.make_node("Identity", [name], [value.name]))
            value.name = name
    # the shapes inside are those of the trace in places, and ONNX Runtime warns of others
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    for part in (model, model.graph, *model.graph.node):  # notes of the exporter, such as lines of our code
        del part.metadata_props[:]
    return model


def _idle_states(step: onnx.ModelProto) -> set[str]:
    """The next states that nothing is computed from but themselves."""
    states = {name for name in _names(step.graph.output) if name.startswith(NEXT)}
    needed = _names(step.graph.output) - states
    while more := {name for name in states - needed if name.removeprefix(NEXT) in sources(step.graph.node, needed)}:
        needed |= more
    return states - needed


def _names(values: Iterable[onnx.ValueInfoProto]) -> set[str]:
    return {value.name for value in values}
