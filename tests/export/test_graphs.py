"""The modules that are traced for an export compute what the model computes: without a trace, which takes seconds."""

import pytest
import torch

from seq2seq.export import graphs
from seq2seq.nn.heads import CopyHead
from seq2seq.runtime.bundle import START
from seq2seq.runtime.graphs import GraphModel
from tests.export.steps import assert_candidates_are_those_of, assert_steps_are_those_of


class Untraced:
    """In place of seq2seq.runtime.graphs.Graph: the module itself."""

    def __init__(self, module, example):
        self.module, self.example, self.name = module, example, "a module"
        self.inputs = {name: list(value.shape) for name, value in graphs._by_name(example).items()}
        self.outputs = list(module(**example))

    def run(self, inputs, outputs):
        given = {name: torch.from_numpy(inputs[name]) for name in self.inputs}
        nested = {
            name: given[name] if isinstance(value, torch.Tensor) else {part: given[part] for part in value}
            for name, value in self.example.items()
        }
        found = self.module(**nested)
        return {name: found[name].numpy() for name in outputs}


def untraced(model, shortlist=False):
    """The model as GraphModel runs it, its parts not traced."""
    encoder = Untraced(
        graphs.Encoder(model, lambda encoder: encoder), graphs._encoder_inputs(model, graphs.SIZES, shortlist)
    )
    step = Untraced(graphs.Step(model), graphs._step_inputs(model, graphs.OTHERS, shortlist))
    encoder.outputs = [name for name in encoder.outputs if name.removeprefix(START) in step.inputs]
    return GraphModel(encoder, step, model.head.output.out_features, copies=isinstance(model.head, CopyHead))


@torch.no_grad()
@pytest.mark.cases
def test_steps_are_those_of_the_model(variant):
    assert_steps_are_those_of(variant.model.float(), untraced(variant.model))


@torch.no_grad()
@pytest.mark.cases
def test_candidates_of_a_shortlist(variant):
    assert_candidates_are_those_of(variant.model.float(), untraced(variant.model, shortlist=True))


@torch.no_grad()
def test_candidates_of_a_transformer_that_copies(model_cases):
    model = model_cases.build(model_cases.config("transformer", {"head": "copy"}), torch.float32).model
    assert_candidates_are_those_of(model, untraced(model, shortlist=True))
