"""Models that label: the laws of all models, and probabilities by enumeration of all label sequences."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from seq2seq.config import MODELS
from seq2seq.errors import ConfigError, RunError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.attention.pooling import POOLINGS
from seq2seq.nn.build import build_meta_model, build_model
from seq2seq.nn.labels import SCORES
from seq2seq.runtime.penalties import Penalties
from seq2seq.search.beam import beam_search
from seq2seq.search.forced import score_targets
from seq2seq.utils.bio import may_follow
from tests.each import each

SOURCES = ["", "⁇", "", "", *(f"▁{c}" for c in "abcd"), *"efgh"]  # the last ones continue a word
LABELS = ["", "▁⁇", "", "", "▁B-X", "▁I-X", "▁O", "▁I-Y", "▁B-Y"]
SEVERAL = ["", "▁⁇", "", "", "", "▁c", "▁a", "▁d", "▁b"]  # 4 says that a label is absent
ORDER, ABSENT = [6, 8, 5, 7], 4
FIRST = EOS + 1
B, S = 3, 7
SOURCE = torch.tensor([[4, 8, 5, 6, 9, EOS, PAD], [7, EOS, PAD, PAD, PAD, PAD, PAD], [4, 5, 6, 7, 8, 4, EOS]])
WORDS = (3, 1, 5)  # of each text
SIZES = {
    "rnn": {"embedding": 6, "hidden": 8},
    "transformer": {"size": 8, "heads": 2, "feedforward": 7, "encoder_layers": 1},
}
OUTPUTS = {
    "label": {"output": "label"},
    "labels": {"output": "labels"},
    "tags": {"output": "tags"},
    "bio": {"output": "tags", "bio": True},
    "crf": {"output": "tags", "crf": True},
    "crf-bio": {"output": "tags", "crf": True, "bio": True},
}
TARGETS = {  # allowed ones, of each text
    "label": [[5], [4], [8]],
    "labels": [[6, 8, ABSENT, ABSENT], [ABSENT, ABSENT, ABSENT, 7], [ABSENT] * 4],
    "tags": [[4, 5, 6], [8], [6, 8, 7, 7, 4]],
}
CASES = [(family, name) for family in MODELS for name in OUTPUTS]


def build(family, dtype=torch.float64, **settings):
    """A model with random weights, in evaluation mode."""
    torch.manual_seed(7)
    model = build_model(MODELS[family](**SIZES[family], **settings), len(SOURCES), len(LABELS)).to(dtype).eval()
    model.read_entries(SOURCES, SEVERAL if settings.get("output") == "labels" else LABELS)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.4)
    return model


def case(family, name, **settings):
    """A model and a batch: namespace with model, targets, target_in and target_out (B, T)."""
    targets = TARGETS[OUTPUTS[name]["output"]]
    longest = max(map(len, targets)) + 1
    rows = [[BOS, *ids, EOS, *[PAD] * (longest - len(ids) - 1)] for ids in targets]
    ids = torch.tensor(rows)
    return SimpleNamespace(
        model=build(family, **OUTPUTS[name], **settings), targets=targets, target_in=ids[:, :-1], target_out=ids[:, 1:]
    )


def sequences(name, words):
    """Every target that a text of so many words can have."""
    labels = range(FIRST, len(LABELS))
    if name == "label":
        return [[label] for label in labels]
    if name == "labels":
        return [list(places) for places in itertools.product(*((label, ABSENT) for label in ORDER))]
    return [list(tags) for tags in itertools.product(labels, repeat=words)]


@torch.no_grad()
@each(("family", "name"), CASES)
def test_decode_equals_repeated_step(family, name):
    it = case(family, name)
    memory = it.model.encode(SOURCE)
    whole = it.model.decode(it.target_in, memory, attention=True)
    torch.testing.assert_close(it.model.decode(it.target_in, memory).features, whole.features)
    torch.testing.assert_close(whole.maps[:, -1].mean(1), whole.weights)
    torch.testing.assert_close(whole.weights.sum(-1), torch.ones_like(whole.weights[..., 0]))
    state = it.model.start(memory)
    for t, token in enumerate(it.target_in.unbind(1)):
        output, state = it.model.step(token, state, memory, attention=True)
        for part in ("features", "weights"):
            torch.testing.assert_close(getattr(output, part), getattr(whole, part)[:, t])
        torch.testing.assert_close(output.maps, whole.maps[:, :, :, t])


@torch.no_grad()
@each(("family", "name"), CASES)
def test_padding_and_other_texts_change_nothing(family, name):
    it = case(family, name)
    memory = it.model.encode(SOURCE)
    whole = it.model.decode(it.target_in, memory)
    loss = it.model.head.loss(whole, memory, it.target_out, 0.1)
    wide = it.model.encode(torch.nn.functional.pad(SOURCE, (0, 3), value=PAD))
    torch.testing.assert_close(it.model.decode(it.target_in, wide).features, whole.features)
    torch.testing.assert_close(it.model.head.loss(whole, wide, it.target_out, 0.1).total, loss.total)
    parts = []
    for b in range(B):
        alone = it.model.encode(SOURCE[b : b + 1, : int((SOURCE[b] != PAD).sum())])
        one = it.model.decode(it.target_in[b : b + 1], alone)
        torch.testing.assert_close(one.features[0], whole.features[b])
        parts.append(it.model.head.loss(one, alone, it.target_out[b : b + 1], 0.1).total)
    torch.testing.assert_close(sum(parts), loss.total)


@torch.no_grad()
@each(("family", "name"), CASES)
def test_hypotheses_share_the_memory_of_their_text(family, name):
    model = build(family, **OUTPUTS[name])
    memory, rows = model.encode(SOURCE), torch.arange(B).repeat_interleave(2)
    repeated = memory.select(rows)
    few, many = (model.select(rows, model.start(memory)) for _ in range(2))
    for token in (torch.full((6,), BOS), torch.tensor([4, 6, 8, 6, 6, 4])):
        shared, few = model.step(token, few, memory, attention=True)
        single, many = model.step(token, many, repeated, attention=True)
        for part in ("features", "weights", "maps"):
            torch.testing.assert_close(getattr(shared, part), getattr(single, part))


@torch.no_grad()
@each(("family", "name"), CASES)
def test_probabilities_of_all_targets_sum_to_one(family, name):
    """EOS is certain after the last label, and impossible before it, so that no other target has any."""
    model = build(family, **OUTPUTS[name])
    memory = model.encode(SOURCE[:2])
    for b in range(2):
        one = memory.select(torch.tensor([b]))
        targets = sequences(OUTPUTS[name]["output"], WORDS[b])
        found = score_targets([model], [one.select(torch.zeros(len(targets), dtype=torch.long))], targets)
        assert sum(torch.tensor([each.log_prob for each in found]).exp()) == pytest.approx(1)


@torch.no_grad()
@each(("family", "name"), CASES)
def test_search_finds_the_best_targets_by_enumeration(family, name):
    """A wide beam, whose scores without length penalty are the log-probabilities."""
    model = build(family, **OUTPUTS[name])
    memory = model.encode(SOURCE[:2])
    longest = 9
    found = beam_search([model], [memory], max_length=longest, beam=60, n_best=3, penalties=Penalties("none"))
    for b in range(2):
        targets = sequences(OUTPUTS[name]["output"], WORDS[b])
        one = memory.select(torch.full((len(targets),), b))
        scored = sorted(score_targets([model], [one], targets), key=lambda given: -given.log_prob)
        for ours, theirs in zip(found[b], scored[:3], strict=True):
            assert ours.tokens == theirs.tokens
            assert ours.finished
            assert ours.score == pytest.approx(theirs.log_prob, abs=1e-5)


def crf_score(model, emissions, tags):
    """The score of a sequence of tags: transitions, with those from BOS and to EOS, and emissions (words, V)."""
    path = [BOS, *tags, EOS]
    chain = sum(model.decoder.chain[a, b].item() for a, b in itertools.pairwise(path))
    return chain + sum(emissions[t, tag].item() for t, tag in enumerate(tags))


@torch.no_grad()
@pytest.mark.parametrize("name", ["crf", "crf-bio"])
def test_crf_is_the_globally_normalized_model(name):
    """log p(y) = score(y) - log sum over all y' of exp(score(y')), those that BIO does not have left out."""
    model = build("rnn", **OUTPUTS[name])
    decoder = model.decoder
    encoded = model.encoder(SOURCE, SOURCE != PAD)
    positions, _ = decoder.word_positions(SOURCE, SOURCE != PAD)
    memory = model.encode(SOURCE)
    for b in range(2):
        words = WORDS[b]
        emissions = decoder.output(encoded.states[b, positions[b, :words]])
        every = sequences("tags", words)
        if "bio" in name:
            names = [piece[1:] for piece in LABELS]
            every = [y for y in every if all(may_follow(names[j], names[i]) for i, j in itertools.pairwise([BOS, *y]))]
        scores = torch.tensor([crf_score(model, emissions, y) for y in every])
        ours = score_targets([model], [memory.select(torch.full((len(every),), b))], every)
        torch.testing.assert_close(torch.tensor([y.log_prob for y in ours]), scores.log_softmax(0), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["crf", "crf-bio"])
def test_messages_of_graphs_are_those_of_the_loop(name):
    decoder = build("rnn", **OUTPUTS[name]).decoder
    for words in (1, 2, 9):
        scores = torch.randn(4, words + 1, len(LABELS), dtype=torch.float64) * 5
        scores = scores.masked_fill(~decoder.is_label, -torch.inf)
        is_word = torch.arange(words + 1) < torch.tensor([words, 0, 1, max(words - 1, 0)])[:, None]
        one, other = decoder.messages(scores, is_word), decoder.messages_by_doubling(scores, is_word)
        real = is_word.unsqueeze(-1) & decoder.is_label
        torch.testing.assert_close(one[real.expand_as(one)], other[real.expand_as(one)])


def viterbi(chain, emissions):
    """The best sequence of tags and its score, in NumPy; emissions (words, V), -inf on what is no label."""
    best, back = chain[BOS] + emissions[0], []
    for own in emissions[1:]:
        scores = best[:, None] + chain + own
        back.append(scores.argmax(0))
        best = scores.max(0)
    best = best + chain[:, EOS]
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.insert(0, int(pointers[path[0]]))
    return path, best.max()


@torch.no_grad()
@pytest.mark.parametrize("name", ["crf", "crf-bio"])
def test_wide_beam_finds_what_viterbi_finds(name):
    model = build("transformer", **OUTPUTS[name])
    decoder, source = model.decoder, torch.cat((torch.randint(4, 8, (20, 11)), torch.full((20, 1), EOS)), 1)
    encoded = model.encoder(source, source != PAD)
    emissions = decoder.label_scores(encoded.states[:, :11]).numpy()
    chain = decoder.transitions().numpy()
    found = beam_search([model], [model.encode(source)], max_length=12, beam=40, penalties=Penalties("none"))
    for (best,), own in zip(found, emissions, strict=True):
        path, _ = viterbi(chain, own)
        assert best.tokens == path


@torch.no_grad()
def test_several_labels_are_independent():
    """The loss is binary cross-entropy of each label  (of a text without labels as well)."""
    it = case("rnn", "labels")
    memory = it.model.encode(SOURCE)
    encoded = it.model.encoder(SOURCE, SOURCE != PAD)
    vector = it.model.decoder.pooling(encoded.states, SOURCE != PAD, encoded.ends).vector
    logits = it.model.decoder.output(vector)[:, ORDER]
    wanted = torch.tensor([[float(i in ids) for i in ORDER] for ids in it.targets])
    loss = it.model.head.loss(it.model.decode(it.target_in, memory), memory, it.target_out)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.double(), reduction="sum")
    torch.testing.assert_close(loss.total, expected)


@torch.no_grad()
@pytest.mark.parametrize("beam", [1, 2, 3])
def test_any_beam_finds_the_likeliest_sets(beam):
    """The likeliest one has every label with p > 1/2."""
    model = build("rnn", output="labels")
    memory = model.encode(SOURCE)
    yes = model.decode(torch.full((B, 5), ABSENT), memory).features[:, range(4), ORDER].exp()
    found = beam_search([model], [memory], max_length=4, beam=beam, n_best=beam, penalties=Penalties("none"))
    targets = sequences("labels", 0)
    for b in range(B):
        assert found[b][0].tokens == [i if p > 0.5 else ABSENT for i, p in zip(ORDER, yes[b], strict=True)]
        scored = score_targets([model], [memory.select(torch.full((len(targets),), b))], targets)
        best = sorted((given.log_prob for given in scored), reverse=True)[:beam]
        assert [one.score for one in found[b]] == pytest.approx(best, abs=1e-5)


def test_a_vocabulary_without_an_entry_for_absence_is_refused():
    with pytest.raises(RunError, match="it has no entry for their absence"):
        build_meta_model(MODELS["rnn"](output="labels")).read_entries(SOURCES, LABELS)


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_words_are_labelled_by_their_first_subword(family):
    model = build(family, output="tags")
    positions, is_word = model.decoder.word_positions(SOURCE, SOURCE != PAD)
    assert [row[real].tolist() for row, real in zip(positions, is_word, strict=True)] == [
        [0, 2, 3],
        [0],
        [0, 1, 2, 3, 5],
    ]
    weights = model.decode(torch.full((B, 3), BOS), model.encode(SOURCE), attention=True).weights
    assert weights[0].argmax(-1).tolist() == [0, 2, 3]


@torch.no_grad()
def test_spaces_alone_are_no_words():
    """Of "a  b " with pieces for single spaces: the labels are those of two words."""
    model = MODELS["rnn"](**SIZES["rnn"], output="tags")
    decoder = build_model(model, 8, len(LABELS)).decoder
    decoder.read_entries(["", "⁇", "", "", "▁", "a", "▁b", "▁▁"], LABELS)
    source = torch.tensor([[4, 5, 4, 6, 4, EOS, PAD], [7, 4, 5, 4, 7, 6, EOS], [6, 5, 6, 7, EOS, PAD, PAD]])
    positions, is_word = decoder.word_positions(source, source != PAD)
    found = [row[real].tolist() for row, real in zip(positions, is_word, strict=True)]
    assert found == [[0, 3], [1, 5], [0, 2]]


@torch.no_grad()
def test_bio_leaves_out_what_follows_nothing():
    model = build("rnn", output="tags", bio=True)
    memory = model.encode(SOURCE)
    for before, impossible in ((BOS, [5, 7]), (4, [7]), (5, [7]), (6, [5, 7]), (8, [5])):
        logits = model.decode(torch.full((B, 1), before), memory)
        found = model.head.log_probs(logits, memory)[0, 0]
        assert [i for i in range(FIRST, len(LABELS)) if found[i] == -torch.inf] == impossible
    assert [may_follow("I-X", before) for before in ("B-X", "I-X", "O", "B-Y", "")] == [True, True, False, False, False]


@each(("family", "name"), CASES)
def test_every_parameter_gets_a_gradient(family, name):
    for pooling in POOLINGS if name == "label" else ("attention",):
        settings = {"pooling": pooling} if name in ("label", "labels") else {}
        it = case(family, name, **settings)
        memory = it.model.encode(SOURCE)
        loss = it.model.head.loss(it.model.decode(it.target_in, memory), memory, it.target_out, 0.1)
        loss.total.backward()
        without = [n for n, weight in it.model.named_parameters() if weight.grad is None or not weight.grad.any()]
        assert not without, (pooling, without)
        assert all(weight.grad.isfinite().all() for weight in it.model.parameters())


@torch.no_grad()
def test_penalty_of_hops_and_weights_of_classes():
    """|A A^T - I|^2 of each text (Lin et al. 2017, eq. 8) in the loss, not in the likelihood; labels weigh as set."""
    it = case("rnn", "label", pooling="structured", hops=3)
    memory = it.model.encode(SOURCE)
    output = it.model.decode(it.target_in, memory)
    plain = it.model.head.loss(output, memory, it.target_out)
    A = memory.cached["label_maps"]
    penalty = sum(((a @ a.T - torch.eye(3, dtype=a.dtype)) ** 2).sum() for a in A)
    it.model.head.hop_penalty = 0.7
    found = it.model.head.loss(output, memory, it.target_out)
    torch.testing.assert_close(found.total, plain.total + 0.7 * penalty)
    torch.testing.assert_close(found.nll, plain.nll)
    it.model.head.hop_penalty = 0.0
    it.model.head.class_weights = torch.ones(len(LABELS)).index_fill(0, torch.tensor([4]), 3.0)
    each_text = -it.model.head.log_probs(output, memory)[torch.arange(B), 0, it.target_out[:, 0]]
    weighted = it.model.head.loss(output, memory, it.target_out)
    torch.testing.assert_close(weighted.total, each_text @ torch.tensor([1.0, 3.0, 1.0]).double())


def test_scores_are_computed_once_for_each_text():
    """Steps read them, whatever happens to the layers in between."""
    model = build("rnn", output="label")
    memory = model.encode(SOURCE)
    before = model.decode(torch.full((B, 1), BOS), memory).features
    with torch.no_grad():
        model.decoder.output.weight.zero_()
    assert model.decode(torch.full((B, 1), BOS), memory).features.equal(before)
    assert memory.cached[SCORES].shape == (B, 2, len(LABELS))


REFUSED = [  # settings of a model -> what the message says
    ({"output": "label", "decoder_layers": 2}, "model.decoder_layers=2 would be ignored: model.output=label has no"),
    ({"output": "label", "crf": True}, "model.crf=True would be ignored: it belongs to model.output=tags"),
    (
        {"output": "tags", "pooling": "mean"},
        "model.pooling=mean would be ignored: model.output=tags",
    ),
    ({"output": "label", "hops": 3}, "model.hops=3 would be ignored: model.pooling=attention does not read it"),
    ({"pooling": "mean"}, "model.pooling=mean would be ignored: model.output=text"),
    ({"output": "label", "tie": "target"}, "model.tie=target would be ignored"),
]


@each(("settings", "message"), REFUSED)
def test_settings_that_would_be_ignored_are_refused(settings, message):
    for family in MODELS:
        with pytest.raises(ConfigError, match=message):
            build_meta_model(MODELS[family](**settings))


def test_a_shortlist_is_refused():
    with pytest.raises(ConfigError, match="takes no shortlist"):
        build("rnn", output="label").restrict_vocabulary(torch.arange(5))
