"""Is a batch whose work was recorded learnt from as any other?"""

from contextlib import contextmanager

import pytest
import torch

from seq2seq.config import AttentionConfig, RNNConfig, TransformerConfig
from seq2seq.data.batching import Batch
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn import cuda_graphs as recording
from seq2seq.nn.build import build_model
from seq2seq.nn.ops import devices
from seq2seq.runs.metrics import read_metrics
from seq2seq.training import checks, cuda_graphs, fit
from seq2seq.training.cuda_graphs import Graphs
from seq2seq.training.loss import Guidance, guided_cross_entropy
from seq2seq.training.module import TrainingModule

V = 12
MODELS = {
    "general": lambda **more: RNNConfig(embedding=6, hidden=8, attention=AttentionConfig(scorer="general"), **more),
    "coverage": lambda **more: RNNConfig(embedding=6, hidden=8, attention=AttentionConfig(scorer="additive", coverage=True), **more),
    "bahdanau": lambda **more: RNNConfig(
        embedding=6, hidden=8, order="bahdanau", cell="gru", attention=AttentionConfig(scorer="additive"), **more
    ),
    "nothing learnt": lambda **more: RNNConfig(
        embedding=6, hidden=8, attention=AttentionConfig(scorer="uniform", window="last"), **more
    ),
    "transformer": lambda **more: TransformerConfig(
        size=8, heads=2, feedforward=16, encoder_layers=1, decoder_layers=1, attention=AttentionConfig(scorer="scaled_dot"), **more
    ),
}  # fmt: skip


def batches(count, rows=3, source=5, target=4):
    """Of one shape, with padding in other places each."""
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        ids, out = (torch.randint(4, V, (rows, size), generator=generator) for size in (source, target))
        ids[:, -1], out[:, -1] = EOS, EOS
        ids[seed % rows, source - 2 :] = torch.tensor([EOS, PAD])
        out[(seed + 1) % rows, target - 2 :] = torch.tensor([EOS, PAD])
        target_in = torch.cat((torch.full((rows, 1), BOS), out[:, :-1]), 1)
        links = torch.rand(rows, target, source, generator=generator).softmax(-1)
        yield Batch(
            ids, target_in, out, torch.arange(rows) + seed, torch.tensor(float((out != PAD).sum())), ids.clone(), links
        )


def learnt(module, batch):
    """Sums and gradients."""
    module.zero_grad()
    loss = module.learn(batch)
    (3 * loss.total).backward()
    return [loss.total.detach(), loss.nll, *(p.grad for p in module.parameters())]


@pytest.fixture
def as_on_a_device(monkeypatch):
    """Where nothing is looked at: what is recorded may not depend on it."""
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    monkeypatch.setattr(devices, "at_once", lambda x, numbers: 5 * V)


def module_of(name, record=None, head="vocabulary", coverage=0.0, guidance=None):
    torch.manual_seed(2)
    model = build_model(MODELS[name](head=head, dropout=0.0), V, V).double()
    return TrainingModule(model, None, None, 0.1, coverage, record, guidance)


CASES = [(name, head) for name in MODELS for head in ("vocabulary", "copy")]
QUICK = [("bahdanau", "copy"), ("transformer", "vocabulary")]


@pytest.mark.parametrize(
    ("name", "head"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_recorded_batches_are_learnt_from_alike(name, head, as_on_a_device, fx):
    record, coverage = fx(), 0.5 if name == "coverage" else 0.0
    guidance = Guidance(guided_cross_entropy, 0.5) if name == "bahdanau" else None
    plain, recorded = (module_of(name, how, head, coverage, guidance) for how in (None, record))
    two_shapes = zip(batches(4), batches(4, rows=2, target=7), strict=True)
    for number, batch in enumerate(batch for pair in two_shapes for batch in pair):
        for ours, theirs in zip(learnt(recorded, batch), learnt(plain, batch), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs)
        assert len(record.graphs) == {0: 0, 1: 0, 2: 1}.get(number, 2)


def test_under_autocast_too(as_on_a_device, fx):
    plain, recorded = (module_of("transformer", record).float() for record in (None, fx()))
    for batch in batches(4):
        with torch.autocast("cpu", torch.bfloat16):
            losses = [module.learn(batch) for module in (plain, recorded)]
        assert losses[0].total.dtype == losses[1].total.dtype == torch.float32
        torch.testing.assert_close(*losses)
        slopes = [
            torch.autograd.grad(loss.total, list(module.parameters()))
            for loss, module in zip(losses, (plain, recorded), strict=True)
        ]
        for ours, theirs in zip(*slopes, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_cuda_is_recorded_while_a_thread_may_pin_batches(monkeypatch):
    """With a pool of its own, and nothing in autocast's cache before or after."""
    said = []

    class CUDAGraph:
        def replay(self):
            said.append("replayed")

    @contextmanager
    def graph(made, pool, capture_error_mode):
        assert isinstance(made, CUDAGraph)
        said.append((pool, capture_error_mode))
        yield
        said.append("recorded")

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", CUDAGraph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: said.append("cleared"))
    replay = recording.CUDAGraphRecorder()(lambda: said.append("worked"))
    replay()
    assert said == ["cleared", ("pool", "thread_local"), "worked", "recorded", "cleared", "replayed"]


def test_weights_that_moved_are_those_that_count(as_on_a_device, fx):
    plain, recorded = module_of("general"), module_of("general", fx())
    optimizers = [torch.optim.Adam(module.parameters(), 0.1) for module in (plain, recorded)]
    for batch in batches(5):
        found = [learnt(module, batch)[0] for module in (plain, recorded)]
        torch.testing.assert_close(*found)
        for optimizer in optimizers:
            optimizer.step()


def test_gradients_of_several_batches_add_up(as_on_a_device, fx):
    plain, recorded = module_of("general"), module_of("general", fx())
    for batch in batches(2):
        learnt(recorded, batch)
    recorded.zero_grad()
    for batch in batches(4):
        for module in (plain, recorded):
            (module.learn(batch).total / batch.update_size).backward()
    for ours, theirs in zip(recorded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_what_is_rare_or_too_much_is_not_recorded(monkeypatch, as_on_a_device, fx):
    monkeypatch.setattr(cuda_graphs, "MOST", 2)
    record = fx()
    module = module_of("transformer", record)
    for target in (3, 4, 5, 6, 3, 4, 5, 5):
        learnt(module, next(batches(1, target=target)))
    assert len(record.graphs) == 2
    assert {shape[1][1] for shape in module.learn.graphs} == {3, 4}


def test_parameters_that_are_fixed_stay_out(as_on_a_device, fx):
    module = module_of("general")
    first = next(module.parameters()).requires_grad_(False)
    module.learn = Graphs(module.losses, module.parameters(), fx())
    for batch in batches(3):
        assert learnt(module, batch)[0].isfinite()
    assert first.grad is None


def test_a_training_with_them_is_the_same(trained, monkeypatch, fx):
    """From the settings on, with batches that a thread makes ahead."""
    recorders = []

    def recorder():
        recorders.append(fx())
        return recorders[-1]

    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    for module in (checks, fit):
        monkeypatch.setattr(module, "on_gpu", lambda trainer: True)
    monkeypatch.setattr(fit, "CUDAGraphRecorder", recorder)
    settings = [
        "model.dropout=0",
        "training.pad_to_multiple_of=64",
        "training.max_updates=12",
        "training.validate_every=6",
    ]
    settings += ["model=transformer", "model.size=16", "model.heads=2", "model.feedforward=16"]
    plain, recorded = trained(*settings), trained(*settings, "trainer.graphs=true")
    assert [len(record.graphs) > 0 for record in recorders] == [True]
    for ours, theirs in zip(*(read_metrics(folder / "metrics.csv") for folder in (recorded, plain)), strict=True):
        for name in ("update", "loss", "gradient_norm", "target_tokens", "dev_loss"):
            assert (ours[name] == "") == (theirs[name] == "")
            assert float(ours[name] or 0) == pytest.approx(float(theirs[name] or 0), rel=1e-4)
