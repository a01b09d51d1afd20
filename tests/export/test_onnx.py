"""The exported graphs of every model compute what the model computes, at other sizes than the traced ones."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from seq2seq.export.onnx import onnx_graphs
from seq2seq.export.quantize import to_float16, to_int8
from seq2seq.ids import BOS, PAD
from seq2seq.nn.heads import CopyHead
from seq2seq.runtime.graph_files import check_graph
from seq2seq.runtime.graphs import BLOCK, Graph, GraphModel
from seq2seq.search.beam import beam_search
from tests.export.steps import COUNT, assert_candidates_are_those_of, assert_steps_are_those_of, sources

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter
ROOT = Path(__file__).parents[2]


def graph_model(model):
    """The model as graphs."""
    return opened(model, [graph.SerializeToString() for graph in onnx_graphs(model)])


def opened(model, graphs):
    """Serialized graphs of the model, run by the runtime, which takes them from a bundle."""
    for graph in graphs:
        check_graph(graph, "graph")
    return GraphModel(*map(Graph, graphs), model.head.output.out_features, copies=isinstance(model.head, CopyHead))


@torch.no_grad()
@pytest.mark.slow  # tests/commands/test_export.py exports a model of each family in the fast tests
@pytest.mark.cases(fast=())
def test_graphs_equal_the_model_and_smaller_ones_nearly_do(variant):
    """What graphs in int8 give for a sentence does not depend on its batch."""
    model, (source, copy) = variant.model, sources()
    graphs = [graph.SerializeToString() for graph in onnx_graphs(model)]
    assert_steps_are_those_of(model, opened(model, graphs), select=3)
    for change, atol in ((to_int8, 0.3), (to_float16, 0.03)):
        smaller = opened(model, [change(onnx.load_from_string(graph)).SerializeToString() for graph in graphs])
        assert_steps_are_those_of(model, smaller, steps=3, atol=atol)
        starts = [np.full((rows, 1), fill) for rows in (3, 1) for fill in (BOS, 0)]
        batch = smaller.encode(source.numpy(), copy.numpy()).step(*starts[:2], np.full((3, 1, 1), PAD), COUNT)
        alone = smaller.encode(source[:1].numpy(), copy[:1].numpy()).step(*starts[2:], np.full((1, 1, 1), PAD), COUNT)
        np.testing.assert_array_equal(batch.scores[:1], alone.scores)


@torch.no_grad()
@pytest.mark.parametrize("shortlist", [False, True], ids=["whole", "shortlist"])
@pytest.mark.cases(fast=())
def test_documented_loop_finds_what_a_greedy_search_finds(variant, shortlist, tmp_path, monkeypatch):
    """A model whose output is peaked, so that no rounding changes the best token; PAD and BOS are likely."""
    page = (ROOT / "docs/reference/bundle.md").read_text(encoding="utf-8")
    loop, restriction = re.findall(r"```python\n((?:import numpy|table =).*?)```", page, re.DOTALL)
    names = {}
    exec(loop, names)
    model = variant.model
    if model.head.reads_weights:
        pytest.skip("copying needs the words of the source")
    model.head.output.weight.mul_(4)
    model.head.output.bias[[PAD, BOS]] += 2
    graphs = onnx_graphs(model, shortlist=shortlist)
    sessions = [onnxruntime.InferenceSession(graph.SerializeToString()) for graph in graphs]
    monkeypatch.chdir(tmp_path)
    vocabulary = model.head.output.out_features
    np.save("shortlist.npy", np.random.default_rng(1).integers(0, vocabulary, (100, 2), np.int32))
    source, _ = sources()
    for row in source:
        names["source"] = ids = row[row != PAD].tolist()
        candidates, searched = [], model
        if shortlist:
            exec(restriction, names)
            candidates = [names["candidates"]]
            searched = model.restrict_vocabulary(torch.from_numpy(*candidates))
        (found,) = beam_search([searched], [searched.encode(torch.tensor([ids]))], beam=1, max_length=49)[0]
        expected = [int(candidates[0][number]) if shortlist else number for number in found.tokens]
        assert names["greedy"](*sessions, ids, *candidates)[:49] == expected


@torch.no_grad()
@pytest.mark.slow
def test_graphs_of_every_pair_of_choices_equal_the_model(case):
    case.model.float()
    assert_steps_are_those_of(case.model, graph_model(case.model), steps=4)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.cases(fast=())
def test_past_is_kept_over_many_steps(variant):
    assert_steps_are_those_of(variant.model, graph_model(variant.model), steps=2 * BLOCK + 3)


@torch.no_grad()
@pytest.mark.slow
def test_candidates_of_a_shortlist(case):
    check_candidates(case.model.float())


@torch.no_grad()
@pytest.mark.slow  # tests/commands/test_export.py exports a recurrent model in the fast tests
def test_candidates_of_a_shortlist_of_a_small_transformer(model_cases):
    choices = {"layers": (1, 1), "head": "copy"}
    check_candidates(model_cases.build(model_cases.config("transformer", choices), torch.float32).model)


def check_candidates(model):
    """As graphs, and in int8."""
    graphs = [graph.SerializeToString() for graph in onnx_graphs(model, shortlist=True)]
    smaller = [to_int8(onnx.load_from_string(graph)).SerializeToString() for graph in graphs]
    assert_candidates_are_those_of(model, opened(model, graphs))
    assert_candidates_are_those_of(model, opened(model, smaller), atol=0.3)
