"""The two graphs of a translator in ONNX, with the inputs and outputs that its model needs."""

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from seq2seq.export import recurrent
from seq2seq.export.graph_bundle import GraphExporter, SavedGraph
from seq2seq.export.graphs import Traced, trace
from seq2seq.export.quantize import to_float16, to_int8
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
    encoder, step = (_convert(traced) for traced in trace(model, recurrent.with_nodes, shortlist))
    _keep(step, _names(step.graph.output) - _idle_states(step))
    read = _names(step.graph.input)
    _keep(encoder, {name for name in _names(encoder.graph.output) if name.removeprefix(START) in read})
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
    _simplify_reshapes(model)
    # the shapes inside are those of the trace in places, and ONNX Runtime warns of others
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    for part in (model, model.graph, *model.graph.node):  # notes of the exporter, such as lines of our code
        del part.metadata_props[:]
    return model


def _simplify_reshapes(model: onnx.ModelProto) -> None:
    """Make the target of a Reshape constant where at most one of its sizes is neither constant nor that of the input.

    Computing sizes takes a third of the nodes that torch's exporter makes, and a sentence alone waits for each."""
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    }
    shapes |= {weight.name: list(weight.dims) for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or not {node.input[0], node.output[0]} <= shapes.keys():
            continue
        before, after = shapes[node.input[0]], shapes[node.output[0]]
        target = [
            size if isinstance(size, int) else 0 if size in before[at : at + 1] else -1 for at, size in enumerate(after)
        ]  # 0: as in the input, -1: the rest
        if target.count(-1) <= 1 and 0 not in after:
            node.input[1] = f"shape_{'_'.join(map(str, target))}"
            if node.input[1] not in shapes:
                shapes[node.input[1]] = [len(target)]
                model.graph.initializer.append(numpy_helper.from_array(np.array(target), node.input[1]))
            del node.attribute[:]  # that 0 is a size


def _idle_states(step: onnx.ModelProto) -> set[str]:
    """The next states that nothing is computed from but themselves."""
    states = {name for name in _names(step.graph.output) if name.startswith(NEXT)}
    needed = _names(step.graph.output) - states
    while more := {name for name in states - needed if name.removeprefix(NEXT) in _sources(step, needed)}:
        needed |= more
    return states - needed


def _sources(model: onnx.ModelProto, outputs: Collection[str]) -> set[str]:
    """`outputs`, and all values that they are computed from."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    names = list(outputs)
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += made_by[name].input if name in made_by else ()
    return found


def _keep(model: onnx.ModelProto, outputs: Collection[str]) -> None:
    """Reduce a graph to some of its outputs, and to the nodes, weights and inputs that they need."""
    needed, graph = _sources(model, outputs), model.graph
    for part in (graph.output, graph.initializer, graph.input):
        names = set(outputs) if part is graph.output else needed
        kept = [value for value in part if value.name in names]
        del part[:]
        part.extend(kept)
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    del graph.node[:]
    graph.node.extend(nodes)


def _names(values: Iterable[onnx.ValueInfoProto]) -> set[str]:
    return {value.name for value in values}
