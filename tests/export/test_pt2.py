"""Programs of torch.export compute what the model computes, at other sizes than the traced ones."""

import numpy as np
import pytest
import torch

from seq2seq.export.pt2 import Program, programs, serialized
from seq2seq.ids import BOS, PAD
from seq2seq.nn.heads import CopyHead
from seq2seq.runtime.graphs import GraphModel
from tests.export.steps import COUNT, assert_steps_are_those_of, sources

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


def program_model(model, shortlist=False):
    """The model as programs, loaded from what their files hold."""
    loaded = (Program(serialized(traced.program)) for traced in programs(model, shortlist))
    return GraphModel(*loaded, model.head.output.out_features, copies=isinstance(model.head, CopyHead))


@torch.no_grad()
@pytest.mark.slow  # tests/commands/test_export_pt2.py exports a model of each family in the fast tests
@pytest.mark.cases(fast=())
def test_programs_equal_the_model(variant):
    assert_steps_are_those_of(variant.model, program_model(variant.model), select=3)


@torch.no_grad()
@pytest.mark.slow
def test_programs_of_every_pair_of_choices_equal_the_model(case):
    case.model.float()
    assert_steps_are_those_of(case.model, program_model(case.model), steps=4)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.cases(fast=())
def test_candidates_of_a_shortlist(variant):
    source, copy = sources()
    model, ids = variant.model, [0, 1, 2, 3, 5, 8, 9]
    copy = torch.searchsorted(torch.tensor(ids), source.where(torch.isin(source, torch.tensor(ids)), PAD))
    mask = np.zeros((len(source), len(ids)), np.float32)
    mask[1, 5] = -np.inf
    decoding = program_model(model, shortlist=True).encode(source.numpy(), copy.numpy(), np.array(ids), mask)
    restricted = model.restrict_vocabulary(torch.tensor(ids))
    memory = restricted.encode(source, copy)
    memory.cached["logit_mask"] = torch.from_numpy(mask)
    found = decoding.step(np.full((3, 1), BOS), np.zeros((3, 1), int), np.full((3, 1, 1), PAD), COUNT, log_probs=True)
    output, _ = restricted.step(torch.full((3,), BOS), restricted.start(memory), memory)
    expected = restricted.head.log_probs(output, memory).unflatten(0, (3, 1))
    expected[..., PAD] = -torch.inf
    torch.testing.assert_close(torch.from_numpy(found.log_probs), expected, rtol=0, atol=2e-5)
