"""The exported graphs and programs of every model that labels compute what the model computes."""

import pytest
import torch

from seq2seq.config import MODELS, AttentionConfig
from seq2seq.export.onnx import onnx_graphs
from seq2seq.export.pt2 import Program, programs, serialized
from seq2seq.nn.attention.pooling import POOLINGS
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.build import build_model
from seq2seq.runtime.graph_files import check_graph
from seq2seq.runtime.graphs import Graph, GraphModel
from tests.export.steps import assert_steps_are_those_of

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # of torch's exporter
SOURCES = ["", "⁇", "", "", *(f"▁{c}" for c in "abcdef"), "▁", *"ghij"]
TAGS = [f"▁{prefix}-{kind}" for kind in "ABCD" for prefix in "BI"]
LABELS = ["", "⁇", "", "", *TAGS, "▁B-E", "▁O"]
SEVERAL = ["", "⁇", "", "", "", *TAGS, "▁O"]
SIZES = {
    "rnn": {"embedding": 6, "hidden": 8},
    "transformer": {"size": 8, "heads": 2, "feedforward": 7, "encoder_layers": 1},
}
CASES = {
    **{pooling: {"output": "label", "pooling": pooling} for pooling in POOLINGS},
    **{f"{scorer} score": {"output": "label", "attention": {"scorer": scorer}} for scorer in SCORERS},
    "entmax": {"output": "label", "attention": {"normalizer": "entmax"}},
    "labels": {"output": "labels"},
    "labels, structured": {"output": "labels", "pooling": "structured", "hops": 3},
    "tags": {"output": "tags"},
    "bio": {"output": "tags", "bio": True},
    "crf": {"output": "tags", "crf": True},
    "crf-bio": {"output": "tags", "crf": True, "bio": True},
}


def build(family, name):
    """A model with random weights."""
    torch.manual_seed(3)
    settings = {"attention": {}} | CASES[name]
    config = MODELS[family](**SIZES[family], **{**settings, "attention": AttentionConfig(**settings["attention"])})
    model = build_model(config, len(SOURCES), len(LABELS)).eval()
    model.read_entries(SOURCES, SEVERAL if settings["output"] == "labels" else LABELS)
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.3)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("family", MODELS)
def test_graphs_equal_the_model(family, name):
    model = build(family, name)
    graphs = [graph.SerializeToString() for graph in onnx_graphs(model)]
    for graph in graphs:
        check_graph(graph, "graph")
    assert_steps_are_those_of(model, GraphModel(*map(Graph, graphs), len(LABELS)), select=3)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("family", MODELS)
def test_programs_equal_the_model(family, name):
    model = build(family, name)
    loaded = (Program(serialized(traced.program)) for traced in programs(model))
    assert_steps_are_those_of(model, GraphModel(*loaded, len(LABELS)), select=3)
