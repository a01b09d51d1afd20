"""Every model fulfils interface.Model, for every choice of its parts; settings that cannot work are refused."""

import itertools

import pytest
import torch

from seq2seq.config import MODELS, AttentionConfig
from seq2seq.errors import ConfigError
from seq2seq.ids import PAD, UNK
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.build import build_meta_model, build_model
from seq2seq.nn.interface import Output
from tests.each import each

PARTS = ("features", "weights", "maps")
UNCOVERED = [name for name, scorer in SCORERS.items() if "coverage" not in scorer.uses]


def encode(case, rows=slice(None), pad=0):
    """The memory of some of the sentences, with `pad` more positions of padding."""
    source, copy = (torch.nn.functional.pad(x[rows], (0, pad), value=PAD) for x in (case.source, case.copy))
    return case.model.encode(source, copy if case.model.head.reads_weights else None)


def capacities(case, steps):
    """How caches are kept: grown, and by Transformers, which alone have some, in place for so many steps."""
    return (None, steps) if case.config.name == "transformer" else (None,)


def loss(case, memory, output, smoothing=0.1):
    return case.model.head.loss(output, memory, case.target_out, smoothing)


@torch.no_grad()
@pytest.mark.cases(every_pair=True)
def test_decode_equals_repeated_step(case, assert_close):
    model, memory = case.model, encode(case)
    whole, plain = model.decode(case.target_in, memory, attention=True), model.decode(case.target_in, memory)
    assert_close(plain.features, whole.features)
    assert_close(whole.maps[:, -1].mean(1), whole.weights)
    log_probs = model.head.log_probs(whole, memory)
    for capacity in capacities(case, 6):
        state, fast = model.start(memory, capacity), model.start(memory, capacity)
        for t, token in enumerate(case.target_in.unbind(1)):
            names = list(state)
            output, state = model.step(token, state, memory, attention=True)
            assert set(state) == set(names)
            assert {len(value) for value in state.values()} == {len(token)}
            assert_close(output.features, whole.features[:, t])
            assert_close(output.weights, whole.weights[:, t])
            assert_close(output.maps, whole.maps[:, :, :, t])
            assert_close(model.head.log_probs(output, memory), log_probs[:, t])
            quick, fast = model.step(token, fast, memory)
            assert_close(quick.features, output.features)


@torch.no_grad()
def test_hypotheses_share_the_memory_of_their_sentence(case, assert_close):
    """Search repeats and reorders the state only: the results are those of one memory per hypothesis."""
    for capacity in capacities(case, 6):
        check_shared_memory(case, assert_close, capacity)


def check_shared_memory(case, assert_close, capacity):
    model, memory, width = case.model, encode(case), 2
    rows = torch.arange(len(case.source)).repeat_interleave(width)
    repeated = memory.select(rows)
    few, many = (model.select(rows, model.start(memory, capacity)) for _ in range(2))
    order = torch.tensor([1, 0, 3, 3, 4, 5])  # inside the sentences
    for token in (torch.arange(4, 10), torch.tensor([7, 7, 4, 5, 4, 12])):
        shared, few = model.step(token, few, memory, attention=True)
        single, many = model.step(token, many, repeated, attention=True)
        for name in PARTS:
            assert_close(getattr(shared, name), getattr(single, name))
        for name in few:
            assert_close(few[name], many[name])
        scores = model.head.log_probs(single, repeated)
        assert_close(model.head.log_probs(shared, memory), scores)
        flat, chosen = Output(*(None if part is None else part[1:4] for part in shared)), rows[1:4]
        assert_close(model.head.log_probs(flat, memory, chosen), scores[1:4])
        few, many = model.select(order, few), model.select(order, many)


@torch.no_grad()
def test_selecting_by_sentence_equals_selecting_by_list(case, assert_close):
    """From one hypothesis to three, reordered twice, one sentence removed, fewer hypotheses, then as a list."""
    for capacity in capacities(case, 8):
        check_selections(case, assert_close, capacity)


def check_selections(case, assert_close, capacity):
    model, memory = case.model, encode(case)
    listed, grouped = (model.start(memory, capacity) for _ in range(2))
    selections = [
        [[0, 0, 0], [1, 1, 1], [2, 2, 2]],
        [[1, 0, 2], [3, 3, 3], [8, 6, 8]],
        [[2, 2, 1], [5, 3, 4], [6, 7, 8]],
        [[1, 1, 0], [8, 7, 6]],  # without the second sentence
        [[2, 0, 1], [4, 3, 3]],
        [[0, 2], [5, 4]],
        [[1, 0], [3, 2]],
        [[1, 1], [2, 3]],
    ]
    for step, rows in enumerate(map(torch.tensor, selections)):
        token = torch.arange(len(listed["number"])) % 7 + 4
        (one, listed), (other, grouped) = (
            model.step(token, state, memory, attention=True) for state in (listed, grouped)
        )
        for name in PARTS:
            assert_close(getattr(one, name), getattr(other, name))
        listed, grouped = model.select(rows.flatten(), listed), model.select(rows, grouped)
        if step == 3:
            memory = memory.select(torch.tensor([0, 2]))


@torch.no_grad()
def test_result_does_not_depend_on_padding_or_on_other_sentences(case, assert_close):
    model, memory = case.model, encode(case)
    whole = model.decode(case.target_in, memory, attention=True)
    scores = model.head.log_probs(whole, memory)
    assert not whole.weights.masked_select(~memory.mask.unsqueeze(1)).any()
    wider = encode(case, pad=3)
    padded = model.decode(case.target_in, wider, attention=True)
    assert_close(wider.summary, memory.summary)
    assert_close(padded.features, whole.features)
    assert_close(padded.weights, torch.nn.functional.pad(whole.weights, (0, 3)))
    assert_close(loss(case, wider, padded).total, loss(case, memory, whole).total)
    assert_close(model.head.log_probs(padded, wider)[..., : scores.size(-1)], scores)
    for b, length in enumerate(memory.mask.sum(1).tolist()):
        alone = model.encode(
            case.source[b : b + 1, :length], case.copy[b : b + 1, :length] if case.model.head.reads_weights else None
        )
        single = model.decode(case.target_in[b : b + 1], alone, attention=True)
        assert_close(alone.summary[0], memory.summary[b])
        assert_close(single.features[0], whole.features[b])
        assert_close(single.weights[0], whole.weights[b, :, :length])


@torch.no_grad()
def test_features_do_not_depend_on_later_tokens(case, assert_close):
    memory, changed = encode(case), case.target_in.clone()
    changed[:, 2:] = 5
    assert_close(
        case.model.decode(changed, memory).features[:, :2], case.model.decode(case.target_in, memory).features[:, :2]
    )


@torch.no_grad()
def test_selected_memory_equals_memory_of_the_selected_sentences(case, assert_close):
    rows = torch.tensor([2, 0])
    selected, encoded = encode(case).select(rows), encode(case, rows)
    assert list(selected.cached) == list(encoded.cached)
    tensors = ((*memory[:4], *memory.cached.values()) for memory in (selected, encoded))
    for left, right in zip(*tensors, strict=True):
        assert_close(left, right)


@torch.no_grad()
def test_loss_agrees_with_log_probabilities(case, assert_close):
    model, memory = case.model, encode(case)
    output = model.decode(case.target_in, memory)
    scores = model.head.log_probs(output, memory)
    assert_close(scores.exp().sum(-1), torch.ones_like(scores[..., 0]))
    real = case.target_out != PAD
    picked = -scores.gather(-1, case.target_out.unsqueeze(-1)).squeeze(-1)[real].sum()
    size = model.head.output.out_features
    spread = -scores[..., :size].mean(-1)[real].sum()
    assert_close(loss(case, memory, output).nll, picked)
    assert_close(loss(case, memory, output).total, 0.9 * picked + 0.1 * spread)
    assert_close(loss(case, memory, output, 0.0).total, picked)
    assert scores.size(-1) == size + (case.source.size(1) if case.model.head.reads_weights else 0)


@torch.no_grad()
def test_ids_beyond_the_vocabulary_are_read_as_unknown(case, assert_close):
    memory, extended, unknown = encode(case), case.target_in.clone(), case.target_in.clone()
    extended[:, 1], unknown[:, 1] = case.model.head.output.out_features + 2, UNK
    assert_close(case.model.decode(extended, memory).features, case.model.decode(unknown, memory).features)
    state = case.model.start(memory)
    assert_close(
        case.model.step(extended[:, 1], state, memory)[0].features,
        case.model.step(unknown[:, 1], state, memory)[0].features,
    )


def test_every_pair_of_choices_is_covered_or_refused(model_cases):
    for family, choices in model_cases.choices.items():
        covered = {
            frozenset(pair) for row in model_cases.pairwise(family) for pair in itertools.combinations(row.items(), 2)
        }
        items = [(name, value) for name, values in choices.items() for value in values]
        for pair in itertools.combinations(items, 2):
            if pair[0][0] != pair[1][0] and frozenset(pair) not in covered:
                with pytest.raises(ConfigError, match=r"model\."):
                    build_meta_model(model_cases.config(family, dict(pair)))


LOCAL_P = (("center_range", "S-1"), ("rounding", "floor"), ("renormalize", True))
REFUSED = [  # family, settings, settings of the attention, pattern of the error
    *[("rnn", {}, {"scorer": scorer, "coverage": True}, r"model\.attention\.coverage=true .*") for scorer in UNCOVERED],
    ("transformer", {}, {"coverage": True}, r"model\.attention\.coverage=true .* model=rnn"),
    *[
        ("rnn", {}, {"window": window, "width": 3}, r"model\.attention\.width=3 .*ignored")
        for window in ("everywhere", "last")
    ],
    *[(family, {}, {"scorer": "dot", "hidden": 9}, r"model\.attention\.hidden=9 .*ignored") for family in MODELS],
    *[
        (family, {}, {"window": "last"}, r"model\.attention\.scorer=general .*ignored: window=last")
        for family in MODELS
    ],
    *[
        (
            family,
            {},
            {"scorer": "uniform", "normalizer": "sparsemax"},
            r"normalizer=sparsemax .*ignored: scorer=uniform",
        )
        for family in MODELS
    ],
    ("rnn", {"max_length": 9}, {}, r"model\.max_length=9 .*ignored"),
    ("transformer", {"max_length": 9}, {}, r"model\.max_length=9 .*ignored"),
    ("transformer", {"max_length": 9, "positions": "rotary"}, {}, r"model\.max_length=9 .*ignored"),
    ("rnn", {"hidden": 7}, {}, r"model\.hidden=7"),
    (
        "rnn",
        {"order": "bahdanau", "input_feeding": False},
        {},
        r"model\.input_feeding=False .*ignored: model\.order=bahdanau",
    ),
    ("rnn", {"residual": True}, {}, r"model\.residual=true .*ignored"),
    ("rnn", {"bridge": "copy", "decoder_layers": 2}, {}, r"model\.bridge=copy .*not 1 and 2"),
    ("transformer", {"size": 9}, {}, r"model\.size=9 .*model\.heads=2"),
    ("transformer", {"size": 6, "positions": "rotary"}, {}, r"model\.positions=rotary .*not 3"),
    ("transformer", {"size": 9, "heads": 1}, {}, r"model\.positions=sinusoidal .*not 9"),
    ("rnn", {}, {"scorer": "gneral"}, r"model\.attention\.scorer='gneral' .*did you mean 'general'"),
    ("rnn", {}, {"window": "local"}, r"model\.attention\.window='local' .*choose one of"),
    ("transformer", {}, {"normalizer": "soft"}, r"model\.attention\.normalizer='soft' .*did you mean 'softmax'"),
    ("rnn", {"head": "copying"}, {}, r"model\.head='copying' .*did you mean 'copy'"),
    ("rnn", {"cell": "rnn"}, {}, r"model\.cell='rnn' .*lstm, gru"),
    ("rnn", {}, {"heads": 3}, r"model\.hidden=8 .*model\.attention\.heads=3"),
    (
        "rnn",
        {},
        {"scorer": "additive", "coverage": True, "heads": 2},
        r"coverage=true needs one head, not model\.attention\.heads=2",
    ),
    ("transformer", {}, {"heads": 2}, r"model\.attention\.heads=2 .*ignored: model\.heads=2"),
    ("transformer", {"head": "pointer"}, {}, r"model\.head=pointer .*model\.head=copy"),
    *[
        ("rnn", {}, {"window": "local_m", name: value}, rf"attention\.{name}={value} .*ignored")
        for name, value in LOCAL_P
    ],
    ("rnn", {}, {"window_size": "2D"}, r"attention\.window_size=2D .*ignored"),
    ("rnn", {"initializer": "bahdanau", "init": 0.2}, {}, r"model\.init=0\.2 .*ignored: model\.initializer=bahdanau"),
    ("rnn", {"reverse": True}, {}, r"model\.reverse=true .*ignored: model\.bidirectional=true"),
    (
        "rnn",
        {"bidirectional": False, "bidirectional_layers": 1},
        {},
        r"bidirectional_layers=1 .*ignored: model\.bidirectional=false",
    ),
    ("rnn", {"bidirectional_layers": 2}, {}, r"bidirectional_layers=2 is more than model\.encoder_layers=1"),
    ("rnn", {"bridge": "backward", "bidirectional": False}, {}, r"model\.bridge=backward needs"),
    (
        "rnn",
        {"bridge": "backward", "bidirectional_layers": 1, "encoder_layers": 2},
        {},
        r"model\.bridge=backward needs",
    ),
    *[
        ("rnn", {"order": order, "feed": "context"}, {}, rf"model\.feed=context .*ignored: model\.order={order}")
        for order in ("bahdanau", "gnmt")
    ],
    (
        "rnn",
        {"input_feeding": False, "feed": "context"},
        {},
        r"model\.feed=context .*ignored: model\.input_feeding=false",
    ),
    ("rnn", {"readout_state": "previous"}, {}, r"model\.readout_state=previous .*ignored: .*order=bahdanau"),
    *[
        ("rnn", {"readout": "state", "input_feeding": fed}, {}, r"model\.readout=state would ignore")
        for fed in (True, False)
    ],
    (
        "rnn",
        {"readout": "state", "features": 5, "order": "gnmt"},
        {},
        r"model\.features=5 .*ignored: model\.readout=state",
    ),
    (
        "rnn",
        {"readout": "state", "tie": "target", "order": "gnmt"},
        {},
        r"model\.tie=target and model\.readout=state need model\.embedding=6 .*hidden=8",
    ),
    ("rnn", {"tie": "target", "features": 5}, {}, r"model\.features=5 .*ignored: model\.tie=target"),
    (
        "rnn",
        {"residual": True, "residual_from": 3, "encoder_layers": 2},
        {},
        r"model\.residual=true .*starts at layer 3.* are 2",
    ),
    ("rnn", {"residual_from": 3}, {}, r"model\.residual_from=3 .*ignored: model\.residual=false"),
    ("rnn", {"bridge": "copy_all", "encoder_layers": 2}, {}, r"model\.bridge=copy_all .*not 2 and 1"),
    *[
        ("rnn", {"bridge": bridge, "cell": "gru"}, {}, rf"model\.bridge={bridge} .*model\.cell=gru")
        for bridge in ("copy_all", "reduce")
    ],
    ("rnn", {"encoder_hidden": 7}, {}, r"model\.encoder_hidden=7 must be even"),
    ("rnn", {"encoder_hidden": 6}, {"heads": 4}, r"model\.encoder_hidden=6 .*model\.attention\.heads=4"),
    (
        "rnn",
        {"encoder_hidden": 6, "bridge": "copy"},
        {},
        r"model\.bridge=copy needs model\.encoder_hidden=6 and hidden=8 equal",
    ),
    ("rnn", {"encoder_hidden": 6}, {"scorer": "dot"}, r"model\.attention\.scorer: Dot .*not 8 and 6"),
    ("rnn", {"readout": "tahn"}, {}, r"model\.readout='tahn' .*did you mean 'tanh'"),
    ("rnn", {"bridge": "dens"}, {}, r"model\.bridge='dens' .*did you mean 'dense'"),
]


@each(("family", "model", "attention", "pattern"), REFUSED)
def test_settings_that_cannot_work_or_would_be_ignored_are_refused(family, model, attention, pattern, model_cases):
    with pytest.raises(ConfigError, match=pattern) as caught:
        build_meta_model(
            MODELS[family](**{**model_cases.tiny[family], **model, "attention": AttentionConfig(**attention)})
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", MODELS)
def test_tying_all_embeddings_needs_one_vocabulary(family, model_cases):
    config = model_cases.config(family, {"tie": "all"})
    with pytest.raises(ConfigError, match=r"model\.tie=all .*not 11 and 13"):
        build_model(config, 11, 13)
    model = build_model(config, 13, 13)
    assert model.encoder.embedding.weight is model.decoder.embedding.weight is model.head.output.weight


@pytest.mark.parametrize(
    ("family", "row", "limits"),
    [
        ("rnn", {}, (None, None)),
        ("rnn", {"scorer": "location"}, (9, None)),
        ("transformer", {}, (None, None)),
        ("transformer", {"positions": "learned"}, (9, 9)),
        ("transformer", {"scorer": "location"}, (9, None)),
    ],
)
def test_models_state_their_length_limits(family, row, limits, model_cases):
    model = build_model(model_cases.config(family, row, **({"max_length": 9} if any(limits) else {})), 11, 13)
    assert (model.max_source, model.max_target) == limits
    source, target = torch.randint(4, 11, (2, limits[0] or 30)), torch.randint(4, 13, (2, limits[1] or 30))
    assert model(source, target).features.isfinite().all()
