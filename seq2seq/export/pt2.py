"""The two graphs of a translator as programs of torch.export, which PyTorch alone loads and runs.

Loading a program can run any code that its file holds (pickled weights, expressions of sizes), so that no artifact is
opened here but those that this process has just written.
"""

import io
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from seq2seq.export.graph_bundle import GraphExporter, SavedGraph
from seq2seq.export.graphs import Traced, trace
from seq2seq.nn.build import EncoderDecoder, shallow_copy
from seq2seq.nn.interface import State
from seq2seq.nn.rnn.cells import CELLS, LSTMCell, RecurrentCell
from seq2seq.nn.rnn.encoder import CellLayer, RecurrentEncoder
from seq2seq.runtime.bundle import Bundle
from seq2seq.runtime.graphs import Arrays, Graph, model_of
from seq2seq.runtime.parity import SETTINGS
from seq2seq.runtime.translator import Threads, Translator, open_vocabularies

NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")  # of a node: lines and classes of our code


class ProgramExporter(GraphExporter):
    """Bundles of programs of torch.export."""

    kind = "pt2"

    def trace(self, model: EncoderDecoder) -> tuple[Traced, Traced]:
        """As GraphExporter."""
        return programs(model, self.shortlist)

    def save(self, graph: Traced, dtype: str) -> SavedGraph:
        """As GraphExporter."""
        return SavedGraph(serialized(graph.program), graph.inputs)


def programs(model: EncoderDecoder, shortlist: bool = False) -> tuple[Traced, Traced]:
    """The encoder and the step of a model in evaluation mode, in float32. shortlist: as `trace`."""
    encoder, step = trace(model, with_loops, shortlist)
    for traced in (encoder, step):
        _reduce(traced.program)
    return encoder, step


def serialized(program: ExportedProgram) -> bytes:
    """The content of its file."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def with_loops(encoder: RecurrentEncoder) -> RecurrentEncoder:
    """The encoder with loops in place of its layers."""
    encoder = shallow_copy(encoder)
    encoder.forwards = nn.ModuleList(map(LayerLoop, encoder.forwards))
    encoder.backwards = nn.ModuleList(map(LayerLoop, encoder.backwards))
    return encoder


class LayerLoop(CellLayer):
    """A recurrent layer of an encoder as a loop over the positions of a source, of which there may be any number; only
    for tracing.

    Without it torch.export unrolls torch's layers, and our own, for the length of the trace."""

    def __init__(self, layer: Any) -> None:
        """layer: torch's, or a CellLayer."""
        nn.Module.__init__(self)  # CellLayer's initializes weights
        self.cell = layer.cell if isinstance(layer, CellLayer) else cell_of(layer)

    def forward(self, x: Tensor) -> State:
        """As CellLayer."""
        projected = self.cell.project(x.transpose(0, 1))
        start = self.cell.start(projected.new_zeros(x.size(0), self.cell.size))
        _, states = scan(self.position, start, projected)
        return {name: value.transpose(0, 1) for name, value in states.items()}

    def position(self, state: State, projected: Tensor) -> tuple[State, State]:
        """One position: the state after it, and a copy, since what a scan returns must not be one tensor twice."""
        state = self.cell(projected, None, state)
        return state, {name: value.clone() for name, value in state.items()}


def cell_of(layer: Any) -> RecurrentCell:
    """The cell that computes what a layer of torch does; its weights are those of the layer."""
    (kind,) = (cell for cell in CELLS.values() if cell.sequence is type(layer))
    with torch.device("meta"):
        cell: Any = kind(layer.input_size, layer.hidden_size)
    cell.input.weight, cell.recurrent.weight = layer.weight_ih_l0, layer.weight_hh_l0
    if isinstance(cell, LSTMCell):
        cell.input.bias = nn.Parameter(layer.bias_ih_l0 + layer.bias_hh_l0)
    else:
        cell.input.bias, cell.recurrent.bias = layer.bias_ih_l0, layer.bias_hh_l0
    return cell  # type: ignore[no-any-return]


def _reduce(program: ExportedProgram) -> None:
    """Remove the weights that no node reads, what the tracer notes of our code, and its guards.

    The guards refuse sizes of 1, since the sizes of the trace are above; what is computed holds for 1 as well."""
    signature = program.graph_signature
    idle = {node.name: node for node in program.graph.nodes if node.op == "placeholder" and not node.users}
    for spec in [one for one in signature.input_specs if one.kind != InputKind.USER_INPUT and one.arg.name in idle]:
        program.graph.erase_node(idle[spec.arg.name])
        signature.input_specs.remove(spec)
    kept = {spec.target for spec in signature.input_specs}
    for name in program.state_dict.keys() - kept:
        del program.state_dict[name]
    for module in program.graph_module.modules():  # loops are graphs inside of it
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for note in NOTES:
                node.meta.pop(note, None)
    program._guards_code = []


class Program(Graph):
    """A loaded program as a graph of the runtime, which takes inputs by name."""

    def __init__(self, content: bytes, name: str = "a bundle") -> None:
        """content: of a trusted file; name: of the bundle, for messages."""
        self.name = name
        program = torch.export.load(io.BytesIO(content))
        assert program.example_inputs is not None
        assert program.call_spec.out_spec is not None
        self.module, self.example = program.module(), program.example_inputs[1]
        self.inputs = {name: list(value.shape) for name, value in _named(self.example)}
        self.outputs = list(program.call_spec.out_spec.context)

    @torch.no_grad()
    def run(self, inputs: Arrays, outputs: list[str]) -> Arrays:
        """The named outputs."""
        given = {
            name: {inner: torch.from_numpy(inputs[inner]) for inner in value}
            if isinstance(value, Mapping)
            else torch.from_numpy(inputs[name])
            for name, value in self.example.items()
        }
        found = self.module(**given)
        return {name: found[name].numpy() for name in outputs}


def _named(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors among inputs, of which some are in a dictionary."""
    return chain.from_iterable(
        value.items() if isinstance(value, Mapping) else [(name, value)] for name, value in inputs.items()
    )


def open_written(path: Path) -> Translator:
    """The translator of a bundle of programs that this process has written, with the settings of the parity gate."""
    bundle = Bundle.open(path, trusted=True)
    config = bundle.config
    models = [
        model_of(Program(bundle.read(encoder), str(path)), Program(bundle.read(step), str(path)), config)
        for encoder, step in config.graphs
    ]
    return Translator(
        Threads(lambda threads: models),
        open_vocabularies(bundle),
        config.search.changed(**SETTINGS),
        truncate=config.truncate_source,
        copies=config.copies,
        limits=[(model.max_source, model.max_target) for model in models],
    )
