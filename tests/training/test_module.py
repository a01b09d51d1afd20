"""The module that Lightning trains: its loss does not depend on how batches are split, and models learn from it."""

import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2seq.config import AttentionConfig, RNNConfig, TransformerConfig
from seq2seq.data.batching import Batch
from seq2seq.distributed import ranks
from seq2seq.errors import TrainingError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import build_model
from seq2seq.nn.interface import Loss
from seq2seq.training.loss import LossOptions
from seq2seq.training.module import BatchLoss, TrainingModule, UpdateSums
from seq2seq.training.optim import OPTIMIZERS, OptimizerOptions, parameter_groups
from tests.each import each

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


def module_of(model: nn.Module, accumulate: int = 1, coverage: float = 0.0, max_skipped: int = 0) -> TrainingModule:
    module = TrainingModule(
        model,
        lambda m: torch.optim.SGD(m.parameters(), 1.0),
        lambda update: 1.0,
        LossOptions(0.1, coverage),
        max_skipped=max_skipped,
    )
    module.trainer = SimpleNamespace(  # type: ignore[assignment]
        accumulate_grad_batches=accumulate, global_step=6, current_epoch=1, precision_plugin=None
    )
    return module


def gradients(module: TrainingModule, batches: list[Batch]) -> dict[str, Tensor]:
    """Gradients over all batches of all devices."""
    module.zero_grad()
    for number, batch in enumerate(batches):
        module.training_step(batch, number)
    return {name: p.grad.clone() for name, p in module.model.named_parameters()}


def update_weights(module: TrainingModule, optimizer: Any = None, clip: float | None = None) -> None:
    """The end of an update, as Lightning has it."""
    module.configure_gradient_clipping(optimizer, clip)
    if optimizer:
        optimizer.step()
        optimizer.zero_grad()


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
    module.training_step(batch, 0)
    update_weights(module)
    assert module.nll.item() == pytest.approx(torch.tensor(10.0).log().item() * batch.update_size.item())
    assert module.tokens.item() == batch.update_size.item()


@each("rank", [0, 1])
def test_sums_of_all_devices_are_those_of_the_first_in_a_checkpoint(rank: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "rank", lambda: rank)
        patch.setattr(ranks, "gathered", lambda value: [value, [7.0, 3.0]])
        module = module_of(nn.Linear(1, 1))
        module.nll, module.tokens = torch.tensor(2.0), torch.tensor(5)
        module.gather_sums()
        assert (module.nll.item(), module.tokens.item()) == ((0, 0) if rank else (9, 8))


def test_loss_that_is_not_finite_is_reported_with_its_batch() -> None:
    model = build_model(SMALL["rnn"](), 10, 10)
    nn.init.constant_(model.head.output.bias, float("nan"))
    batch = copy_task(7)._replace(index=torch.tensor([41, 0, 6, 7, 8, 9, 10]))
    module = module_of(model)
    module.training_step(batch, 3)
    with pytest.raises(
        TrainingError, match=r"the loss is nan at update 7 \(epoch 2, batch 4, lines 42, 1, 7, 8, 9 and 2 more\); lower"
    ):
        update_weights(module)


def test_first_of_several_losses_that_are_not_finite_is_reported() -> None:
    index = torch.tensor([41, 0])
    losses = [
        BatchLoss(u, 1, u, index + u, torch.tensor(x)) for u, x in ((1, 2.0), (2, float("inf")), (3, float("nan")))
    ]
    assert UpdateSums(losses=losses).wrong_loss() == "loss is inf at update 2 (epoch 1, batch 2, lines 44, 3)"
    assert UpdateSums(losses=losses[:1]).wrong_loss() == ""


def test_update_with_an_infinite_gradient_changes_neither_weights_nor_optimizer() -> None:
    torch.manual_seed(1)
    model = build_model(SMALL["rnn"](), 10, 10)
    module = module_of(model, max_skipped=1)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(2):  # the second is finite again, so that the next one is the first in a row
        module.training_step(copy_task(3), 0)
        update_weights(module, optimizer)
        before, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
        module.training_step(copy_task(3), 0)
        next(model.parameters()).grad[0, 0] = float("inf")
        update_weights(module, optimizer)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        after = optimizer.state_dict()["state"]
        assert all(torch.equal(after[i][name], value) for i in state for name, value in state[i].items())
    assert module.skipped.count == 2
    assert module.nll.isfinite()
    assert module.tokens == 2 * copy_task(3).update_size
    module.training_step(copy_task(3), 0)
    next(model.parameters()).grad[0, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"^the norm of the gradient is nan at update 7, after 1 update that "):
        update_weights(module, optimizer)


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_batches_that_the_memory_is_too_small_for_are_split(
    family: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a gradient may be there already, of this batch and of those before it in the update."""
    torch.manual_seed(1)
    model = build_model(SMALL[family](), 10, 10).double()
    whole = copy_task(9)
    batches = [part(whole, rows) for rows in (slice(0, 2), slice(2, 9))]
    expected = gradients(module_of(model), [whole])
    module = module_of(model, accumulate=2)
    compute, sizes = module.training_losses, list[int]()

    def in_little_memory(batch: Batch) -> Loss:
        sizes.append(len(batch.source))
        loss: Loss = compute(batch)
        if len(batch.source) <= 3:
            return loss
        if where == "forward":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Loss(FullInBackward.apply(loss.total), loss.nll)

    module.training_losses = in_little_memory  # type: ignore[assignment]
    found = gradients(module, batches)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=name)
    assert sizes == [2, 7, 2, 4, 2, 2, 2, 2, 1]
    assert caplog.text.count("the memory is full with a batch of") == 2
    module.on_after_backward()
    assert module.split_batches == 1
    update_weights(module)
    assert module.tokens.item() == whole.update_size.item()
    module.training_losses = compute
    expected_nll = module_of(model)
    expected_nll.training_step(whole, 0)
    update_weights(expected_nll)
    assert module.nll.item() == pytest.approx(expected_nll.nll.item())


class FullInBackward(torch.autograd.Function):
    """A loss whose backward pass finds the memory full."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_parts_have_random_numbers_of_their_own() -> None:
    batch = copy_task(7)._replace(seed=5)
    parts = batch.split(3)
    assert [part.seed for part in parts] == [5, 6, 7]
    assert torch.equal(torch.cat([part.target_out for part in parts]), batch.target_out)
    assert all(part.update_size == batch.update_size for part in parts)
    assert len(batch.split(9)) == 7
    assert batch.split(1)[0].seed == 5


def learn(model: nn.Module, optimizer: Any, steps: int) -> list[float]:
    module, losses = module_of(model), []
    for step in range(steps):
        module.training_step(copy_task(16, seed=step), step)
        module.on_after_backward()
        update_weights(module, optimizer, clip=1.0)
        nll, tokens = module.sums()
        module.reset_sums()
        losses.append(nll / tokens)
    return losses


def test_gradient_norm_is_clipped() -> None:
    model = nn.Linear(3, 1, bias=False)
    module, optimizer = module_of(model), torch.optim.Adam(model.parameters(), fused=True)
    for limit, norm in ((None, 5.0), (6.0, 5.0), (2.0, 2.0)):
        model.weight.grad = torch.tensor([[3.0, 0.0, 4.0]])
        module.update.losses = [BatchLoss(1, 1, 1, torch.zeros(1), torch.zeros(()))]
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
        module.reset_sums()
        module.training_step(copy_task(32, longest=3, seed=step), step)
        module.on_after_backward()
        update_weights(module, optimizer)
    nll, tokens = module.sums()
    assert nll / tokens < 0.1


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
