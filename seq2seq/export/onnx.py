"""The two graphs of a translator in ONNX, with the inputs and outputs that its model needs."""

from collections.abc import Collection, Iterable

import onnx
import torch

from seq2seq.export import recurrent
from seq2seq.export.graphs import NEXT, START, Traced, trace
from seq2seq.nn.build import EncoderDecoder

OPSET = 20  # of ONNX's operators; ONNX Runtime reads it from 1.17 on


def onnx_graphs(model: EncoderDecoder, shortlist: bool = False) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The encoder and the step of a model in evaluation mode, in float32.

    The step has the states that its results depend on, the encoder the outputs that the step reads. shortlist: the
    step computes the candidates of a shortlist alone, whose rows of the output layer the encoder gathers."""
    encoder, step = (_convert(traced) for traced in trace(model, recurrent.read, shortlist))
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
    # the shapes inside are those of the trace in places, and ONNX Runtime warns of others
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


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
