"""Losses of attention: guided alignment against a twin in NumPy and in training, and the coverage loss."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seq2seq.config import AttentionConfig, Config, RNNConfig, TransformerConfig
from seq2seq.data.batching import Batch
from seq2seq.errors import ConfigError, RunError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import build_model
from seq2seq.nn.cuda_graphs import Recorder
from seq2seq.training.loss import GUIDED_LOSSES, Guidance, LossOptions, coverage_loss
from seq2seq.training.module import TrainingModule
from seq2seq.training.resume import resume
from seq2seq.training.run import create_directory, initial_info, plan_training, train
from tests.settings import to_resume

V = 12
MODELS = {
    "rnn": lambda **more: RNNConfig(
        embedding=8, hidden=12, dropout=0.0, attention=AttentionConfig(scorer="general"), **more
    ),
    "heads": lambda **more: RNNConfig(
        embedding=8, hidden=12, dropout=0.0, attention=AttentionConfig(scorer="scaled_dot", heads=2), **more
    ),
    "transformer": lambda **more: TransformerConfig(
        size=16, heads=2, feedforward=16, encoder_layers=1, decoder_layers=2, dropout=0.0,
        attention=AttentionConfig(scorer="scaled_dot"), **more,
    ),
}  # fmt: skip


def reversed_pairs(rows: int = 4, length: int = 5) -> Batch:
    """Pairs whose target is the source reversed. Equal words are linked, EOS is not; the last row is shorter."""
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(4, V, (rows, length), generator=generator)
    source, target = (torch.cat((words, torch.full((rows, 1), EOS)), 1) for words in (ids, ids.flip(1)))
    links = torch.zeros(rows, length + 1, length + 1)
    links[:, range(length), range(length - 1, -1, -1)] = 1
    source[-1], target[-1] = torch.tensor([[7, 8, EOS, PAD, PAD, PAD], [8, 7, EOS, PAD, PAD, PAD]])
    links[-1] = 0
    links[-1, 0, :2] = 0.5
    target_in = torch.cat((torch.full((rows, 1), BOS), target[:, :-1]), 1)
    target_in = target_in.masked_fill(target_in == EOS, PAD)
    return Batch(source, target_in, target, torch.arange(rows), (target != PAD).sum().float(), source.clone(), links)


def module_of(name: str, guidance: Guidance | None, record: Recorder | None = None, **more: str) -> TrainingModule:
    torch.manual_seed(1)
    model = build_model(MODELS[name](**more), V, V).double()
    return TrainingModule(model, None, None, LossOptions(0.1, 0.0, guidance), record)  # type: ignore[arg-type]


def twin(name: str, weights: Tensor, links: Tensor) -> float:
    """The loss in NumPy, token by token."""
    total = 0.0
    for a, g in zip(weights.flatten(0, 1).detach().numpy(), links.flatten(0, 1).numpy(), strict=True):
        if g.any():
            linked = np.flatnonzero(g)
            total += float((-g[linked] * np.log(a[linked])).sum() if name == "cross_entropy" else ((a - g) ** 2).sum())
    return total


@pytest.mark.parametrize("loss", GUIDED_LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_loss_equals_its_twin_and_has_a_gradient_in_the_attention(name: str, loss: str) -> None:
    batch, plain, guided = reversed_pairs(), module_of(name, None), module_of(name, Guidance(GUIDED_LOSSES[loss], 0.7))
    before, after = plain.losses(batch), guided.losses(batch)
    memory = guided.model.encode(batch.source, batch.copy)
    weights = guided.model.decode(batch.target_in, memory, attention=True).weights
    assert batch.links is not None
    added = GUIDED_LOSSES[loss](weights, batch.links)
    assert added.item() == pytest.approx(twin(loss, weights, batch.links))
    assert (after.total - before.total).item() == pytest.approx(0.7 * added.item())
    assert after.nll.item() == pytest.approx(before.nll.item())
    gradients = torch.autograd.grad(
        added, [p for n, p in guided.model.named_parameters() if "attention" in n or "cross" in n], allow_unused=True
    )
    assert any(gradient is not None and gradient.abs().max() > 1e-4 for gradient in gradients)


def test_losses_by_hand() -> None:
    weights = torch.tensor([[[0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [0.1, 0.2, 0.7]]])
    links = torch.tensor([[[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    assert GUIDED_LOSSES["squared_error"](weights, links).item() == pytest.approx(0.25 + 0.25 + 0.04 + 0.04)
    links[0, 0] = torch.tensor([1.0, 0.0, 0.0])
    assert GUIDED_LOSSES["cross_entropy"](weights, links).item() == pytest.approx(math.log(2) - math.log(0.8))


@pytest.mark.parametrize("loss", GUIDED_LOSSES)
def test_weight_of_zero_gives_finite_loss_and_gradient(loss: str) -> None:
    """Hard windows and sparse normalizers give such weights."""
    weights = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], requires_grad=True)
    found = GUIDED_LOSSES[loss](weights, torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]))
    found.backward()
    assert weights.grad is not None
    assert found.isfinite()
    assert weights.grad.isfinite().all()


@pytest.mark.parametrize("gap", [1.0, 21.0, 60.0])
def test_gradient_of_the_cross_entropy_does_not_vanish(gap: float) -> None:
    """The gradient of -log softmax is a - g, however small a is in float32."""
    scores = torch.tensor([[[0.0, gap]]], requires_grad=True)
    GUIDED_LOSSES["cross_entropy"](scores.softmax(-1), torch.tensor([[[1.0, 0.0]]])).backward()
    assert scores.grad is not None
    assert scores.grad[0, 0, 0].item() == pytest.approx(1 / (1 + math.exp(gap)) - 1, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_tokens_without_links_do_not_count(name: str) -> None:
    batch = reversed_pairs()
    assert batch.links is not None
    plain, guided = module_of(name, None), module_of(name, Guidance(GUIDED_LOSSES["cross_entropy"], 1.0))
    for links in (None, torch.zeros_like(batch.links)):
        pairs = [module.losses(batch._replace(links=links)).total for module in (plain, guided)]
        torch.testing.assert_close(*pairs, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "loss"), [("rnn", "cross_entropy"), ("transformer", "squared_error")])
@pytest.mark.fast("rnn-cross_entropy")
def test_attention_learns_the_links(name: str, loss: str) -> None:
    batch, module = reversed_pairs(16), module_of(name, Guidance(GUIDED_LOSSES[loss], 3.0))
    optimizer = torch.optim.Adam(module.parameters(), 2e-2)
    for _ in range(60):
        optimizer.zero_grad()
        (module.losses(batch).total / batch.update_size).backward()
        optimizer.step()
    weights = module.model.decode(
        batch.target_in, module.model.encode(batch.source, batch.copy), attention=True
    ).weights
    assert batch.links is not None
    known = batch.links.amax(-1) == 1
    assert (weights.argmax(-1) == batch.links.argmax(-1))[known].double().mean() > 0.95


def test_changed_links_are_refused_on_resuming(
    corpus: Path, small_config: Callable[..., Config], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "text"))
    config = small_config(tmp_path / "runs", "training.guided_alignment=1", f"data.root={root}")
    plan = plan_training(config)
    assert create_directory(plan)
    (root / "train.align").write_text("0-0\n" * 120)
    with pytest.raises(RunError, match=r"the word links of data=mine are not those that .* was trained on"):
        resume(to_resume(plan.folder, "training.max_updates=4"))
    assert plan_training(config).folder != plan.folder


def test_data_hash_does_not_depend_on_the_links(small_config: Callable[..., Config], tmp_path: Path) -> None:
    """So that a guided run can be compared with one that is not."""
    configs = [small_config(tmp_path, f"training.guided_alignment={weight}") for weight in (0, 1)]
    plain, guided = (initial_info(config, plan_training(config).prepared) for config in configs)
    assert plain["data"] == guided["data"]
    assert plain["tokenizer"] == guided["tokenizer"]
    assert "links" not in plain
    assert guided["links"]


REFUSED = {
    ("model/attention=mean",): "training.guided_alignment=1.0 would be ignored: scorer=uniform learns no weights",
    ("tokenizer.sampling=0.1",): "training.guided_alignment=1.0 needs a fixed segmentation: tokenizer.sampling=0.1",
    ("data.format=tsv",): "data.format=tsv has no word links to learn from",
}


@pytest.mark.parametrize("more", REFUSED)
def test_incompatible_settings_are_refused(
    more: tuple[str, ...], small_config: Callable[..., Config], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=REFUSED[more]):
        train(small_config(tmp_path, "training.guided_alignment=1", *more))
    assert not list(tmp_path.iterdir())


def test_coverage_loss_by_hand() -> None:
    weights = torch.tensor([[[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    target_out = torch.tensor([[5, 6, EOS], [5, EOS, PAD]])
    # row 0: min(.5, .75) + min(.5, .25) = .75, then min(0, 1.25) + min(1, .75) = .75
    # row 1: min(1, 1) = 1, then padding
    assert coverage_loss(weights, target_out).item() == pytest.approx(0.75 + 0.75 + 1.0)
