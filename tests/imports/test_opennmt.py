"""Converted models of OpenNMT-py, read as runs; NumPy computes what they have to give."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from seq2seq import cli
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.errors import RunError
from seq2seq.export.graphs import Encoder
from seq2seq.ids import EOS
from seq2seq.imports.opennmt import read_opennmt
from seq2seq.imports.run import write_run
from seq2seq.runs.directory import Run
from seq2seq.translator import Translator

Array = NDArray[np.float64]
SOURCE = ["<unk>", "<blank>", "<s>", "</s>", "a", "b", "c"]
TARGET = ["<unk>", "<blank>", "<s>", "</s>", "x", "y", "z", "w"]
E, H = 6, 8
SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_opennmt.py"
PAIRS = [("a b c", "x y"), ("c", "z w y x"), ("a b unknown a", "x missing"), ("b b", "")]
RECURRENT = {
    "encoder_type": "brnn", "decoder_type": "rnn", "rnn_type": "LSTM", "global_attention": "general", "input_feed": 1,
    "enc_layers": 1, "dec_layers": 1, "enc_hid_size": H, "dec_hid_size": H, "src_word_vec_size": E,
    "tgt_word_vec_size": E, "dropout": [0.1],
}  # fmt: skip
TRANSFORMER = {
    "encoder_type": "transformer", "decoder_type": "transformer", "enc_layers": 1, "dec_layers": 1, "enc_hid_size": H,
    "dec_hid_size": H, "src_word_vec_size": H, "tgt_word_vec_size": H, "heads": 2, "transformer_ff": 10,
    "position_encoding": True, "pos_ffn_activation_fn": "silu", "add_ffnbias": True, "norm_eps": 0.01,
}  # fmt: skip


def numbers(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator) * 0.6 for name, shape in shapes.items()}


def recurrent_shapes(options: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    gates, feed = (4 if options["rnn_type"] == "LSTM" else 3), (H if options["input_feed"] else 0)
    both = options["encoder_type"] == "brnn"
    place = ("layers.0.", "") if feed else ("", "_l0")
    shapes: dict[str, tuple[int, ...]] = {}
    for start, end, width, size in [
        ("encoder.rnn.", "_l0", E, H // 2 if both else H),
        *([("encoder.rnn.", "_l0_reverse", E, H // 2)] if both else []),
        (f"decoder.rnn.{place[0]}", place[1], E + feed, H),
    ]:
        rows = gates * size
        shapes |= {f"{start}weight_ih{end}": (rows, width), f"{start}weight_hh{end}": (rows, size)}
        shapes |= {f"{start}bias_{part}{end}": (rows,) for part in ("ih", "hh")}
    shapes["decoder.attn.linear_out.weight"] = (H, 2 * H)
    kind = options["global_attention"]
    if kind == "general":
        shapes["decoder.attn.linear_in.weight"] = (H, H)
    if kind == "mlp":
        shapes |= {f"decoder.attn.linear_{name}.weight": (H, H) for name in ("context", "query")}
        shapes |= {"decoder.attn.linear_query.bias": (H,), "decoder.attn.v.weight": (1, H)}
        shapes["decoder.attn.linear_out.bias"] = (H,)
    return shapes


def transformer_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    attentions = ["encoder.transformer.0.self_attn", "decoder.transformer_layers.0.self_attn"]
    for name in [*attentions, "decoder.transformer_layers.0.context_attn"]:
        parts = ("linear_query", "linear_keys", "linear_values", "final_linear")
        shapes |= {f"{name}.{part}.weight": (H, H) for part in parts}
    for name in ("encoder.transformer.0", "decoder.transformer_layers.0"):
        shapes |= {f"{name}.feed_forward.{part}.weight": (10, H) for part in ("w_1", "w_3")}
        shapes |= {f"{name}.feed_forward.{part}.bias": (10,) for part in ("w_1", "w_3")}
        shapes |= {f"{name}.feed_forward.w_2.weight": (H, 10), f"{name}.feed_forward.w_2.bias": (H,)}
    norms = ["encoder.layer_norm", "decoder.layer_norm", "encoder.transformer.0.layer_norm"]
    norms += [f"{name}.feed_forward.layer_norm" for name in ("encoder.transformer.0", "decoder.transformer_layers.0")]
    norms += [f"decoder.transformer_layers.0.layer_norm_{i}" for i in (1, 2)]
    return shapes | {f"{name}.{part}": (H,) for name in norms for part in ("weight", "bias")}


def write(folder: Path, options: dict[str, Any], shapes: dict[str, tuple[int, ...]], **changes: Any) -> Path:
    folder.mkdir()
    sizes = [options["src_word_vec_size"], options["tgt_word_vec_size"]]
    tables = {"encoder": (len(SOURCE), sizes[0]), "decoder": (len(TARGET), sizes[1])}
    tables = {f"{name}.embeddings.make_embedding.emb_luts.0.weight": shape for name, shape in tables.items()}
    ends = {"generator.weight": (len(TARGET), H), "generator.bias": (len(TARGET),)}
    save_file(numbers(shapes | tables | ends), folder / "model.safetensors")
    description = {"format": "OpenNMT-py 3", "options": options, "source": SOURCE, "target": TARGET, "start": "<s>"}
    (folder / "model.json").write_text(json.dumps(description | changes))
    return folder


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    exp = np.exp(x - x.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


class Expected:
    """What OpenNMT-py computes with these tensors, as its code says."""

    def __init__(self, folder: Path) -> None:
        self.w = {name: x.double().numpy() for name, x in load_file(folder / "model.safetensors").items()}
        self.options = json.loads((folder / "model.json").read_text())["options"]

    def score(self, source: str, target: str) -> float:
        ids = [SOURCE.index(word) if word in SOURCE else 0 for word in source.split()]
        tokens = [TARGET.index(word) if word in TARGET else 0 for word in target.split()]
        features = (self.recurrent if "rnn_type" in self.options else self.transformer)(ids, [2, *tokens])
        probabilities = softmax(features @ self.w["generator.weight"].T + self.w["generator.bias"])
        return float(sum(np.log(row[i]) for row, i in zip(probabilities, [*tokens, 3], strict=True)))

    def embedded(self, side: str, ids: list[int]) -> Array:
        return self.w[f"{side}.embeddings.make_embedding.emb_luts.0.weight"][ids]

    def cell(self, name: str, end: str, x: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        h, c = state
        a, b = (
            self.w[f"{name}weight_{k}{end}"] @ v + self.w[f"{name}bias_{k}{end}"] for k, v in (("ih", x), ("hh", h))
        )
        if self.options["rnn_type"] == "GRU":
            (r, z, n), (hr, hz, hn) = np.split(a, 3), np.split(b, 3)
            update = sigmoid(z + hz)
            return (1 - update) * np.tanh(n + sigmoid(r + hr) * hn) + update * h, c
        i, f, g, o = np.split(a + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def recurrent(self, ids: list[int], tokens: list[int]) -> Array:
        x, both = self.embedded("encoder", ids), self.options["encoder_type"] == "brnn"
        directions, ends = [], []
        for end, rows in (("_l0", x), ("_l0_reverse", x[::-1]))[: 2 if both else 1]:
            state, states = (np.zeros(H // (2 if both else 1)),) * 2, []
            for row in rows:
                state = self.cell("encoder.rnn.", end, row, state)
                states.append(state[0])
            directions.append(states[::-1] if end.endswith("reverse") else states)
            ends.append(state)
        memory = np.concatenate(directions, -1)
        state = tuple(np.concatenate(parts) for parts in zip(*ends, strict=True))
        feed, outputs = np.zeros(H), []
        place = ("decoder.rnn.layers.0.", "") if self.options["input_feed"] else ("decoder.rnn.", "_l0")
        for row in self.embedded("decoder", tokens):
            state = self.cell(*place, np.concatenate((row, feed)) if self.options["input_feed"] else row, state)
            feed = self.attend(state[0], memory)
            outputs.append(feed)
        return np.stack(outputs)

    def attend(self, h: Array, memory: Array) -> Array:
        kind, w = self.options["global_attention"], {name[13:]: x for name, x in self.w.items() if ".attn." in name}
        if kind == "mlp":
            hidden = np.tanh(
                w["linear_query.weight"] @ h + w["linear_query.bias"] + memory @ w["linear_context.weight"].T
            )
            scores = hidden @ w["v.weight"][0]
        else:
            scores = memory @ (w["linear_in.weight"] @ h if kind == "general" else h)
        context = softmax(scores) @ memory
        out = w["linear_out.weight"] @ np.concatenate((context, h))
        return out + w["linear_out.bias"] if kind == "mlp" else np.tanh(out)

    def positions(self, x: Array) -> Array:
        angle = np.arange(len(x))[:, None] * np.exp(np.arange(0, H, 2) * -(np.log(10000.0) / H))
        table = np.zeros((len(x), H))
        table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
        return x * np.sqrt(H) + table

    def norm(self, name: str, x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + self.options["norm_eps"])
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, name: str, x: Array, memory: Array, causal: bool = False) -> Array:
        parts = {"query": x, "keys": memory, "values": memory}
        q, k, v = (
            (value @ self.w[f"{name}.linear_{part}.weight"].T).reshape(len(value), 2, H // 2).swapaxes(0, 1)
            for part, value in parts.items()
        )
        scores = q @ k.swapaxes(1, 2) / np.sqrt(H // 2)
        if causal:
            scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
        return (softmax(scores) @ v).swapaxes(0, 1).reshape(len(x), H) @ self.w[f"{name}.final_linear.weight"].T

    def feed_forward(self, name: str, x: Array) -> Array:
        y = self.norm(f"{name}.layer_norm", x)
        a, b = (y @ self.w[f"{name}.{part}.weight"].T + self.w[f"{name}.{part}.bias"] for part in ("w_1", "w_3"))
        return x + (a * sigmoid(a) * b) @ self.w[f"{name}.w_2.weight"].T + self.w[f"{name}.w_2.bias"]

    def transformer(self, ids: list[int], tokens: list[int]) -> Array:
        x, name = self.positions(self.embedded("encoder", ids)), "encoder.transformer.0"
        y = self.norm(f"{name}.layer_norm", x)
        x = self.feed_forward(f"{name}.feed_forward", x + self.attention(f"{name}.self_attn", y, y))
        memory = self.norm("encoder.layer_norm", x)
        x, name = self.positions(self.embedded("decoder", tokens)), "decoder.transformer_layers.0"
        y = self.norm(f"{name}.layer_norm_1", x)
        x = x + self.attention(f"{name}.self_attn", y, y, causal=True)
        x = x + self.attention(f"{name}.context_attn", self.norm(f"{name}.layer_norm_2", x), memory)
        return self.norm("decoder.layer_norm", self.feed_forward(f"{name}.feed_forward", x))


VARIANTS = {
    "general": RECURRENT,
    "dot": RECURRENT | {"global_attention": "dot", "input_feed": 0},
    "mlp": RECURRENT | {"global_attention": "mlp", "rnn_type": "GRU", "encoder_type": "rnn"},
    "gru": RECURRENT | {"rnn_type": "GRU"},
    "transformer": TRANSFORMER,
}


def variant(folder: Path, name: str, **changes: Any) -> Path:
    options = VARIANTS[name]
    shapes = transformer_shapes() if name == "transformer" else recurrent_shapes(options)
    return write(folder, options, shapes, **changes)


@pytest.mark.parametrize("name", VARIANTS)
def test_scores_are_what_the_original_computes(name: str, tmp_path: Path) -> None:
    folder = variant(tmp_path / "folder", name)
    write_run(read_opennmt(folder), tmp_path / "run")
    expected = Expected(folder)
    ours = Translator.open(tmp_path / "run")
    wanted = [expected.score(*pair) for pair in PAIRS]
    assert ours.score(*zip(*PAIRS, strict=True)) == pytest.approx(wanted, abs=2e-5)
    assert ours.translate(["a b", "c"]) == [ours.translate([line])[0] for line in ("a b", "c")]


def test_the_end_of_a_source_is_masked_in_exported_graphs_too(tmp_path: Path) -> None:
    write_run(read_opennmt(variant(tmp_path / "folder", "general")), tmp_path / "run")
    model: Any = Translator.open(tmp_path / "run").models[0]
    source = torch.tensor([[4, 5, EOS], [6, EOS, 0], [EOS, 0, 0]])
    wanted = torch.tensor([[True, True, False], [True, False, False], [True, False, False]])
    assert torch.equal(model.encode(source).mask, wanted)
    assert torch.equal(Encoder(model, lambda encoder: encoder)(source)["mask"], wanted)
    assert torch.equal(model.restrict_vocabulary(torch.arange(6)).encode(source).mask, wanted)


def test_pieces_need_their_sentencepiece_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = train_tokenizer(["a b c ab bc"] * 9, kind="bpe", size=12)
    tokenizer.save(tmp_path / "pieces.spm")
    words = ["<unk>", "<blank>", "<s>", "</s>", *tokenizer.symbols()[6:3:-1]]
    folder = variant(tmp_path / "folder", "general", source=words)
    with pytest.raises(RunError, match="name its model by --source-spm"):
        read_opennmt(folder)
    arguments = ["import", "opennmt", str(folder), "--output", str(tmp_path / "run")]
    assert cli.main([*arguments, "--source-spm", str(tmp_path / "pieces.spm")]) == 0, capsys.readouterr().err
    found = Run.open(tmp_path / "run").vocabularies.source
    assert found.segment("ab bc") == tokenizer.segment("ab bc")


@pytest.mark.parametrize("side", [0, 1])
def test_a_sentencepiece_model_of_one_side_is_not_that_of_both(side: int, tmp_path: Path) -> None:
    """Also where both have the same vocabulary."""
    tokenizer = train_tokenizer(["xyzw xy zw"] * 9, kind="char", size=12)
    tokenizer.save(tmp_path / "pieces.spm")
    folder = variant(tmp_path / "folder", "general", source=TARGET)
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.embeddings.make_embedding.emb_luts.0.weight"] = torch.randn(len(TARGET), E)
    save_file(tensors, folder / "model.safetensors")
    models = (tmp_path / "pieces.spm", None) if side == 0 else (None, tmp_path / "pieces.spm")
    vocabularies = read_opennmt(folder, models=models).vocabularies
    pieces, words = (vocabularies.source, vocabularies.target)[:: 1 if side == 0 else -1]
    assert pieces.segment("xyz x") == tokenizer.segment("xyz x")
    assert words.segment("xyz x") == ["▁xyz", "▁x"]


OPTIONS: dict[str, Any] = {
    "encoder_type": None, "decoder_type": "transformer", "rnn_type": "SRU", "bridge": True, "copy_attn": True,
    "coverage_attn": True, "context_gate": "both", "global_attention": "none", "model_task": "lm", "n_src_feats": 1,
    "enc_hid_size": 10**9, "dec_hid_size": 4, "dropout": "much", "generator_function": "sparsemax",
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_cannot_be_represented_are_refused_by_name(name: str, tmp_path: Path) -> None:
    write(tmp_path / "folder", RECURRENT, recurrent_shapes(RECURRENT))
    path = tmp_path / "folder" / "model.json"
    description = json.loads(path.read_text())
    description["options"][name] = OPTIONS[name]
    path.write_text(json.dumps(description))
    with pytest.raises(RunError, match=f"{name}="):
        read_opennmt(tmp_path / "folder")


@pytest.mark.parametrize(
    "changes",
    [{"format": "other"}, {"source": ["a"]}, {"target": [*TARGET, "x"]}, {"start": "<go>"}, {"source": [*SOURCE, "d"]},
     {"target": [1]}],
    ids=str,
)  # fmt: skip
def test_damaged_descriptions_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    variant(tmp_path / "folder", "general", **changes)
    with pytest.raises(RunError, match=str(tmp_path)):
        write_run(read_opennmt(tmp_path / "folder"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


TRAIN = """
import sys, types, torch
for name in ("spacy", "fasttext", "torchtext"):
    try:
        __import__(name)
    except Exception:
        sys.modules[name] = types.ModuleType(name)
load = torch.load
torch.load = lambda *a, **k: load(*a, **{**k, "weights_only": False})
from onmt.bin.train import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["brnn", "transformer"])
def test_opennmt_agrees(kind: str, tmp_path: Path) -> None:
    """SEQ2SEQ_OPENNMT is a Python with OpenNMT-py 3."""
    python = os.environ.get("SEQ2SEQ_OPENNMT")
    if not python:
        pytest.skip("SEQ2SEQ_OPENNMT names no Python with OpenNMT-py")
    lines = [f"{a} {b} {c}" for a in "abcd" for b in "efgh" for c in "ijkl"]
    (tmp_path / "src").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "tgt").write_text("".join(f"{line[::-1].upper()}\n" for line in lines))
    (tmp_path / "vocab").write_text("".join(f"{c}\t1\n" for c in "abcdefghijklABCDEFGHIJKL"))
    settings = {
        "save_data": "data", "src_vocab": "vocab", "tgt_vocab": "vocab", "share_vocab": True, "overwrite": True,
        "data": {"train": {"path_src": "src", "path_tgt": "tgt", "transforms": [], "weight": 1}}, "seed": 1,
        "train_steps": 100, "save_checkpoint_steps": 100, "valid_steps": 1000, "save_model": "model", "num_workers": 0,
        "batch_type": "sents", "batch_size": 16, "world_size": 1, "gpu_ranks": [], "optim": "adam",
        "learning_rate": 0.005, "encoder_type": kind, "decoder_type": "transformer" if kind == "transformer" else "rnn",
        "hidden_size": 32, "word_vec_size": 32, "layers": 2, "heads": 4, "transformer_ff": 64, "dropout": [0.0],
        "position_encoding": kind == "transformer", "param_init": 0.1, "self_attn_type": "scaled-dot",
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    train = [python, "-c", TRAIN, "-config", "config.yaml"]
    subprocess.run(train, cwd=tmp_path, check=True, capture_output=True)
    files = ["model_step_100.pt", "folder", "--source", "src", "--target", "tgt"]
    subprocess.run([python, SCRIPT, *files], cwd=tmp_path, check=True, capture_output=True)
    parity = write_run(read_opennmt(tmp_path / "folder"), tmp_path / "run", tmp_path / "folder" / "reference.json")
    assert parity is not None
    assert parity.difference < 1e-4
    assert parity.same >= 0.9 * parity.translations
