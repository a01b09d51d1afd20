"""Training with recorded graphs of batches equals training without."""

import pytest
import torch

from seq2seq.config import AttentionConfig, RNNConfig, TransformerConfig
from seq2seq.data.batching import Batch
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import build_model
from seq2seq.nn.ops import devices
from seq2seq.runs.metrics import read_metrics
from seq2seq.training import checks, cuda_graphs, fit
from seq2seq.training.cuda_graphs import GraphedLosses
from seq2seq.training.loss import Guidance, LossOptions, guided_cross_entropy
from seq2seq.training.module import TrainingModule
from tests.recording import TensorRecorder

V = 12
MODELS = {
    "general": lambda **more: RNNConfig(embedding=6, hidden=8, attention=AttentionConfig(scorer="general"), **more),
    "coverage": lambda **more: RNNConfig(
        embedding=6, hidden=8, attention=AttentionConfig(scorer="additive", coverage=True), **more
    ),
    "bahdanau": lambda **more: RNNConfig(
        embedding=6, hidden=8, order="bahdanau", cell="gru", attention=AttentionConfig(scorer="additive"), **more
    ),
    "uniform": lambda **more: RNNConfig(
        embedding=6, hidden=8, attention=AttentionConfig(scorer="uniform", window="last"), **more
    ),
    "transformer": lambda **more: TransformerConfig(
        size=8, heads=2, feedforward=16, encoder_layers=1, decoder_layers=1,
        attention=AttentionConfig(scorer="scaled_dot"), **more,
    ),
}  # fmt: skip


def batches(count, rows=3, source=4, target=3):
    """Batches of one shape, each with padding in other places."""
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


def losses_and_gradients(module, batch):
    module.zero_grad()
    loss = module.training_losses(batch)
    (3 * loss.total).backward()
    return [loss.total.detach(), loss.nll, *(p.grad for p in module.parameters())]


@pytest.fixture
def like_a_gpu(monkeypatch):
    """The host runs ahead of the device: what is recorded must not wait for it."""
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    monkeypatch.setattr(devices, "at_once", lambda x, numbers: 5 * V)


def module_of(name, record=None, head="vocabulary", coverage=0.0, guidance=None):
    torch.manual_seed(2)
    model = build_model(MODELS[name](head=head, dropout=0.0), V, V).double()
    return TrainingModule(model, None, None, LossOptions(0.1, coverage, guidance), record)


CASES = [(name, head) for name in MODELS for head in ("vocabulary", "copy")]
QUICK = [("general", "vocabulary"), ("transformer", "copy")]


@pytest.mark.parametrize(
    ("name", "head"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
@pytest.mark.fast("general-vocabulary")
def test_recorded_batches_have_the_same_losses_and_gradients(name, head, like_a_gpu):
    record, coverage = TensorRecorder(), 0.5 if name == "coverage" else 0.0
    guidance = Guidance(guided_cross_entropy, 0.5) if name in ("bahdanau", "transformer") else None
    plain, recorded = (module_of(name, how, head, coverage, guidance) for how in (None, record))
    two_shapes = zip(batches(4), batches(4, rows=2, target=5), strict=True)
    for number, batch in enumerate(batch for pair in two_shapes for batch in pair):
        for ours, theirs in zip(losses_and_gradients(recorded, batch), losses_and_gradients(plain, batch), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs)
        assert len(record.graphs) == {0: 0, 1: 0, 2: 1}.get(number, 2)


def test_recorded_batches_under_autocast(like_a_gpu):
    plain, recorded = (module_of("transformer", record).float() for record in (None, TensorRecorder()))
    for batch in batches(4):
        with torch.autocast("cpu", torch.bfloat16):
            losses = [module.training_losses(batch) for module in (plain, recorded)]
        assert losses[0].total.dtype == losses[1].total.dtype == torch.float32
        torch.testing.assert_close(*losses)
        gradients = [
            torch.autograd.grad(loss.total, list(module.parameters()))
            for loss, module in zip(losses, (plain, recorded), strict=True)
        ]
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_graphs_use_the_updated_weights(like_a_gpu):
    plain, recorded = module_of("transformer"), module_of("transformer", TensorRecorder())
    optimizers = [torch.optim.Adam(module.parameters(), 0.1) for module in (plain, recorded)]
    for batch in batches(5):
        found = [losses_and_gradients(module, batch)[0] for module in (plain, recorded)]
        torch.testing.assert_close(*found)
        for optimizer in optimizers:
            optimizer.step()


def test_gradients_of_several_batches_accumulate(like_a_gpu):
    plain, recorded = module_of("transformer"), module_of("transformer", TensorRecorder())
    for batch in batches(2):
        losses_and_gradients(recorded, batch)
    recorded.zero_grad()
    for batch in batches(4):
        for module in (plain, recorded):
            (module.training_losses(batch).total / batch.update_size).backward()
    for ours, theirs in zip(recorded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_rare_shapes_and_shapes_beyond_the_limit_are_not_recorded(monkeypatch, like_a_gpu):
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 2)
    record = TensorRecorder()
    module = module_of("transformer", record)
    for target in (3, 4, 5, 6, 3, 4, 5, 5):
        losses_and_gradients(module, next(batches(1, target=target)))
    assert len(record.graphs) == 2
    assert {shape[1][1] for shape in module.training_losses.graphs} == {3, 4}


def test_frozen_parameters_get_no_gradient(like_a_gpu):
    module = module_of("transformer")
    first = next(module.parameters()).requires_grad_(False)
    module.training_losses = GraphedLosses(module.losses, module.parameters(), TensorRecorder())
    for batch in batches(3):
        assert losses_and_gradients(module, batch)[0].isfinite()
    assert first.grad is None


@pytest.mark.slow
def test_training_with_graphs_equals_training_without(trained, monkeypatch):
    """The whole training, with batches that a thread prepares ahead."""
    recorders = []

    def recorder():
        recorders.append(TensorRecorder())
        return recorders[-1]

    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    for module in (checks, fit):
        monkeypatch.setattr(module, "uses_gpu", lambda trainer: True)
    monkeypatch.setattr(fit, "CUDAGraphRecorder", recorder)
    settings = [
        "model.dropout=0",
        "training.pad_to_multiple_of=64",
        "training.max_updates=8",
        "training.validate_every=4",
    ]
    settings += ["model=transformer", "model.size=16", "model.heads=2", "model.feedforward=16"]
    plain, recorded = trained(*settings), trained(*settings, "trainer.graphs=true")
    assert [len(record.graphs) > 0 for record in recorders] == [True]
    for ours, theirs in zip(*(read_metrics(folder / "metrics.csv") for folder in (recorded, plain)), strict=True):
        for name in ("update", "loss", "gradient_norm", "target_tokens", "dev_loss"):
            assert (ours[name] == "") == (theirs[name] == "")
            assert float(ours[name] or 0) == pytest.approx(float(theirs[name] or 0), rel=1e-4)
