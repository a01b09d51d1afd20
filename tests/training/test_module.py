"""The module that Lightning trains: its loss does not depend on how batches are split, and models learn from it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2seq.config import AttentionConfig, RNNConfig, TransformerConfig
from seq2seq.data.batching import Batch
from seq2seq.errors import TrainingError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import build_model
from seq2seq.training.loss import LossOptions
from seq2seq.training.module import BatchLoss, TrainingModule
from seq2seq.training.optim import OPTIMIZERS, OptimizerOptions, parameter_groups

SMALL = {
    "rnn": lambda **more: RNNConfig(
        embedding=12, hidden=16, dropout=0.0, attention=AttentionConfig(scorer="general"), **more
    ),
    "transformer": lambda **more: TransformerConfig(
        size=16, heads=2, feedforward=32, encoder_layers=1, decoder_layers=1, dropout=0.0,
        attention=AttentionConfig(scorer="scaled_dot"), **more,
    ),
}  # fmt: skip


def copy_task(rows: int, vocabulary: int = 10, longest: int = 5, seed: int = 0) -> Batch:
    """Pairs whose target is their source."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, longest + 1, (rows,), generator=generator)
    ids = torch.randint(4, vocabulary, (rows, longest + 1), generator=generator)
    place = torch.arange(longest + 1)
    source = ids.where(place < lengths[:, None], torch.where(place == lengths[:, None], EOS, PAD))
    target_in = torch.cat((torch.full((rows, 1), BOS), source[:, :-1]), 1)
    target_in = target_in.masked_fill(target_in == EOS, PAD)
    return Batch(source, target_in, source, torch.arange(rows), (source != PAD).sum().float(), source)


def part(batch: Batch, rows: slice) -> Batch:
    """Some of the rows, with the update_size of the whole."""
    cut = {name: getattr(batch, name)[rows] for name in ("source", "target_in", "target_out", "index", "copy")}
    return batch._replace(**cut)


def module_of(model: nn.Module, accumulate: int = 1, coverage: float = 0.0) -> TrainingModule:
    module = TrainingModule(
        model, lambda m: torch.optim.SGD(m.parameters(), 1.0), lambda update: 1.0, LossOptions(0.1, coverage)
    )
    module.trainer = SimpleNamespace(accumulate_grad_batches=accumulate, global_step=6, current_epoch=1)  # type: ignore[assignment]
    return module


def gradients(module: TrainingModule, batches: list[Batch]) -> dict[str, Tensor]:
    """Gradients as Lightning computes them, each loss divided by the number of accumulated batches; over all devices,
    whose gradients are summed."""
    module.zero_grad()
    for number, batch in enumerate(batches):
        (module.training_step(batch, number) / module.trainer.accumulate_grad_batches).backward()
    return {name: p.grad.clone() for name, p in module.model.named_parameters()}


@pytest.mark.parametrize("head", ["vocabulary", "copy"])
@pytest.mark.parametrize("coverage", [0.0, 0.5])
@pytest.mark.parametrize("family", SMALL)
@pytest.mark.fast("rnn-0.0-vocabulary", "rnn-0.5-copy", "transformer-0.0-copy", "transformer-0.5-vocabulary")
def test_batch_split_into_four_gives_the_same_gradient(family: str, coverage: float, head: str) -> None:
    """Four accumulations, or two on each of two devices; parts differ in their numbers of tokens, and one is empty."""
    torch.manual_seed(1)
    model = build_model(SMALL[family](head=head), 10, 10).double()
    whole = copy_task(9)
    parts = [part(whole, rows) for rows in (slice(0, 1), slice(1, 5), slice(5, 9), slice(0, 0))]
    parts[3] = part(whole, slice(0, 1))._replace(target_out=torch.full((1, 6), PAD))
    expected = gradients(module_of(model, coverage=coverage), [whole])
    for accumulate in (4, 2, 1):
        found = gradients(module_of(model, accumulate, coverage), parts)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=name)


def test_loss_is_a_mean_over_tokens() -> None:
    model = build_model(SMALL["rnn"](), 10, 10)
    nn.init.zeros_(model.head.output.weight)
    batch = copy_task(3)
    module = module_of(model)
    assert module.training_step(batch, 0).item() == pytest.approx(torch.tensor(10.0).log().item())
    assert module.nll.item() == pytest.approx(torch.tensor(10.0).log().item() * batch.update_size.item())
    assert module.tokens.item() == batch.update_size.item()


def test_loss_that_is_not_finite_is_reported_with_its_batch() -> None:
    model = build_model(SMALL["rnn"](), 10, 10)
    nn.init.constant_(model.head.output.bias, float("nan"))
    batch = copy_task(7)._replace(index=torch.tensor([41, 0, 6, 7, 8, 9, 10]))
    with pytest.raises(
        TrainingError, match=r"the loss is nan at update 7 \(epoch 2, batch 4, lines 42, 1, 7, 8, 9 and 2 more\); lower"
    ):
        module_of(model).training_step(batch, 3)


def test_first_of_several_losses_that_are_not_finite_is_reported() -> None:
    """As on an accelerator, where losses are checked by the log."""
    module = module_of(build_model(SMALL["rnn"](), 10, 10))
    index = torch.tensor([41, 0])
    module.unchecked = [
        BatchLoss(u, 1, u, index + u, torch.tensor(x)) for u, x in ((1, 2.0), (2, float("inf")), (3, float("nan")))
    ]
    with pytest.raises(TrainingError, match=r"the loss is inf at update 2 \(epoch 1, batch 2, lines 44, 3\); lower"):
        module.check_finite()
    module.check_finite()  # they were checked already


def learn(model: nn.Module, optimizer: Any, steps: int) -> list[float]:
    module, losses = module_of(model), []
    for step in range(steps):
        loss = module.training_step(copy_task(16, seed=step), step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        nll, tokens = module.sums()
        module.reset_sums()
        losses.append(nll / tokens)
    return losses


def test_gradient_norm_is_clipped() -> None:
    model = nn.Linear(3, 1, bias=False)
    module, optimizer = module_of(model), torch.optim.Adam(model.parameters(), fused=True)
    for limit, norm in ((None, 5.0), (6.0, 5.0), (2.0, 2.0)):
        model.weight.grad = torch.tensor([[3.0, 0.0, 4.0]])
        module.configure_gradient_clipping(optimizer, limit)
        assert model.weight.grad.norm().item() == pytest.approx(norm)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name: str) -> None:
    torch.manual_seed(1)
    model = build_model(SMALL["rnn"](), 10, 10)
    rate = {"sgd": 2.0, "adafactor": 0.1, "adagrad": 0.4, "adadelta": 30.0}.get(name, 0.01)
    options = OptimizerOptions(rate, 0.9, 0.98, 0.01, fused=True)
    losses = learn(model, OPTIMIZERS[name](parameter_groups(model, 0.01, options.learning_rate), options), 20)
    assert sum(losses[-5:]) / 5 < 0.9 * losses[0]


@pytest.mark.slow  # the fast tests have the first updates, above
@pytest.mark.parametrize("family", SMALL)
def test_model_learns_to_copy(family: str) -> None:
    """Short sentences, until the loss is close to 0."""
    torch.manual_seed(1)
    model = build_model(SMALL[family](), 10, 10)
    module = module_of(model)
    module.options = LossOptions()
    optimizer = torch.optim.Adam(model.parameters(), 3e-2 if family == "rnn" else 1e-2)
    for step in range(150):
        loss = module.training_step(copy_task(32, longest=3, seed=step), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
