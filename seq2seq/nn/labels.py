"""Decoders that label: of a text, or of each of its words. They fulfil the interface of all decoders.

All scores are computed once for each text, in `cache`; a step reads those of its position, and what follows the label
before it. docs/explanation/labels.md has the probabilities.

B sentences, W hypotheses of each, N = B * W rows, T target steps, P label positions and one more for the end, S source
positions, R heads, V target vocabulary: the labels, and the special entries, of which only EOS is generated.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seq2seq.errors import RunError
from seq2seq.ids import EOS, PAD
from seq2seq.nn.attention.pooling import Pooling
from seq2seq.nn.interface import Cached, EncoderOutput, Loss, Memory, Output, State
from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear
from seq2seq.runtime.vocabulary import SPACE_MARK
from seq2seq.utils.bio import may_follow

IMPOSSIBLE = -1e4  # a score whose exponential is 0
DOUBLINGS = 20  # 2^20 words are more than search.max_source can be
SCORES, MAPS, WORDS = "label_scores", "label_maps", "label_words"  # names in Memory.cached


class LabelDecoder(nn.Module):
    """Base: scores of labels by one linear layer, and the steps that read them."""

    is_label: Tensor  # (V,) bool

    def __init__(self, size: int, labels: int, dropout: float = 0.0) -> None:
        """size: of the vectors that are labelled. labels: V."""
        super().__init__()
        self.dropout, self.output = Dropout(dropout), Linear(size, labels)
        self.register_buffer("is_label", torch.arange(labels) > EOS, persistent=False)

    def read_entries(self, source: Sequence[str], target: Sequence[str]) -> None:
        """Read the names of labels, and the beginnings of words, from the entries of both vocabularies, as
        `SubwordModel.pieces` returns them."""

    def cache(self, encoded: EncoderOutput, source: Tensor, mask: Tensor) -> Cached:
        """The scores of all positions."""
        raise NotImplementedError

    def label_scores(self, vectors: Tensor) -> Tensor:
        """Vectors (B, P, size) -> scores (B, P, V) in float32 at least, -inf on what is no label."""
        scores = self.output(self.dropout(vectors))
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return scores.masked_fill(~self.is_label, -torch.inf)

    def end_scores(self, scores: Tensor) -> Tensor:
        """The scores (B, 1, V) of a step that can only end."""
        is_end = torch.arange(scores.size(-1), device=scores.device) == EOS
        return torch.zeros_like(scores[:, :1]).masked_fill(~is_end, -torch.inf)

    def following(self, scores: Tensor, before: Tensor) -> Tensor:
        """Scores (B, T, V) of some positions, and the token before each (B, T) -> the logits of what may come there."""
        return scores

    def maps(self, memory: Memory, position: Tensor) -> Tensor:
        """The attention (B, T, R, S) at positions (T,)."""
        return memory.cached[MAPS].unsqueeze(1).expand(-1, position.size(0), -1, -1)

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """As interface.Model. The state is the number of the step, so `capacity` makes no difference."""
        return {"number": torch.zeros(memory.mask.size(0), dtype=torch.long, device=memory.mask.device)}

    def select(self, rows: Tensor, state: State) -> State:
        """As interface.Model."""
        return {name: value.index_select(0, rows.flatten()) for name, value in state.items()}

    def read(self, memory: Memory, position: Tensor, before: Tensor, attention: bool) -> tuple[Tensor, Tensor | None]:
        """Positions (T,), tokens before them (B, T or W) -> logits (B, T or W, V), and attention (B, T, R, S)."""
        position = position.clamp_max(memory.cached[SCORES].size(1) - 1)
        scores = memory.cached[SCORES].index_select(1, position).expand(-1, before.size(1), -1)
        return self.following(scores, before), self.maps(memory, position) if attention else None

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        """As interface.Model."""
        position = torch.arange(target_in.size(1), device=target_in.device)
        logits, maps = self.read(memory, position, target_in, attention)
        return Output(logits) if maps is None else Output(logits, maps.mean(2), maps.transpose(1, 2).unsqueeze(1))

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """As interface.Model. The number of the step is the same in all rows."""
        number = state["number"]
        before = token.view(memory.mask.size(0), -1)  # (B, W)
        logits, maps = self.read(memory, number[:1], before, attention)
        after = {"number": number + 1}
        if maps is None:
            return Output(logits.flatten(0, 1)), after
        maps = maps.expand(-1, before.size(1), -1, -1).flatten(0, 1)  # (N, R, S)
        return Output(logits.flatten(0, 1), maps.mean(1), maps.unsqueeze(1)), after


class PooledDecoder(LabelDecoder):
    """Base of the decoders that label a text by its pooled states."""

    def __init__(self, pooling: Pooling, labels: int, dropout: float = 0.0) -> None:
        super().__init__(pooling.size, labels, dropout)
        self.pooling = pooling


class OneLabelDecoder(PooledDecoder):
    """One label a text: softmax(W c + b) of the pooled states c."""

    def cache(self, encoded: EncoderOutput, source: Tensor, mask: Tensor) -> Cached:
        vector, maps = self.pooling(encoded.states, mask, encoded.ends)
        scores = self.label_scores(vector.unsqueeze(1))
        return {SCORES: torch.cat((scores, self.end_scores(scores)), 1), MAPS: maps}


class SeveralLabelsDecoder(PooledDecoder):
    """Any number of labels for a text, each with p_k = sigmoid(w_k . c + b_k), independent of one another.

    Step k says whether the k-th label, in the order of their names, is there: by itself, or by the entry ABSENT."""

    order: Tensor  # (K,) the labels in the order of the steps
    absent: int

    def __init__(self, pooling: Pooling, labels: int, dropout: float = 0.0) -> None:
        super().__init__(pooling, labels, dropout)
        self.absent = EOS + 1
        self.register_buffer("order", torch.arange(EOS + 2, labels), persistent=False)

    def read_entries(self, source: Sequence[str], target: Sequence[str]) -> None:
        """Raises RunError for a vocabulary without ABSENT, which alone has no text."""
        if target[self.absent]:
            raise RunError(
                "the target vocabulary is not that of several labels a text: it has no entry for their absence"
            )
        names = sorted(range(self.absent + 1, len(target)), key=lambda i: target[i])
        self.order = torch.tensor(names, device=self.order.device)

    def cache(self, encoded: EncoderOutput, source: Tensor, mask: Tensor) -> Cached:
        vector, maps = self.pooling(encoded.states, mask, encoded.ends)
        scores = self.output(self.dropout(vector)).unsqueeze(1)  # (B, 1, V)
        return {SCORES: scores.to(torch.promote_types(scores.dtype, torch.float32)), MAPS: maps}

    def read(self, memory: Memory, position: Tensor, before: Tensor, attention: bool) -> tuple[Tensor, Tensor | None]:
        scores = memory.cached[SCORES]
        entries = torch.arange(scores.size(2), device=scores.device)
        order = torch.cat((self.order, self.order.new_full((1,), EOS)))
        own = order.index_select(0, position.clamp_max(self.order.size(0)))  # (T,)
        is_own, ends = entries == own.unsqueeze(1), (own == EOS).unsqueeze(1)  # (T, V), (T, 1)
        no = nn.functional.logsigmoid(-scores[:, 0]).index_select(1, own).unsqueeze(2)  # (B, T, 1)
        found = torch.where(is_own, nn.functional.logsigmoid(scores), -torch.inf)  # (B, T, V)
        found = torch.where((entries == self.absent) & ~ends, no, found)
        found = found.masked_fill(is_own & ends, 0.0).expand(-1, before.size(1), -1)
        return found, self.maps(memory, position) if attention else None


class TagsDecoder(LabelDecoder):
    """One label a word: softmax(W h + b) of the state h of its first subword; with `bio` only allowed transitions.

    Words are what begins with SentencePiece's mark for a space; several spaces are as good as one."""

    is_start: Tensor  # (source vocabulary,) bool: whether an entry begins with a space
    is_space: Tensor  # (source vocabulary,) bool: whether it has nothing else
    forbidden: Tensor  # (V, V) bool: whether the second may not follow the first; BOS is before the first word

    def __init__(self, size: int, labels: int, dropout: float = 0.0, *, sources: int, bio: bool = False) -> None:
        """sources: size of the source vocabulary."""
        super().__init__(size, labels, dropout)
        self.bio = bio
        self.register_buffer("is_start", torch.arange(sources) > EOS, persistent=False)
        self.register_buffer("is_space", torch.zeros(sources, dtype=torch.bool), persistent=False)
        self.register_buffer("forbidden", torch.zeros(labels, labels, dtype=torch.bool), persistent=False)

    def read_entries(self, source: Sequence[str], target: Sequence[str]) -> None:
        device = self.is_start.device
        self.is_start = torch.tensor([piece.startswith(SPACE_MARK) for piece in source], device=device)
        self.is_space = torch.tensor([bool(piece) and not piece.strip(SPACE_MARK) for piece in source], device=device)
        if self.bio:
            names = [piece.removeprefix(SPACE_MARK) for piece in target]
            pairs = [[i > PAD and not may_follow(two, one) for two in names] for i, one in enumerate(names)]
            self.forbidden = torch.tensor(pairs, device=self.forbidden.device)

    def word_starts(self, source: Tensor, mask: Tensor) -> Tensor:
        """source (B, S) -> (B, S) bool: a space, unless another one or the end comes after it."""
        starts = self.is_start[source] & mask
        is_rest = mask & (source != EOS) & ~starts  # of a word
        followed = torch.cat((is_rest[:, 1:], torch.zeros_like(is_rest[:, :1])), 1)
        return starts & (~self.is_space[source] | followed)

    def word_positions(self, source: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, S) -> the position of each word's first subword (B, S + 1), that of EOS after the last word; and
        which of them are words (B, S + 1)."""
        starts, end = self.word_starts(source, mask), (mask.sum(1, keepdim=True) - 1).clamp_min(0)
        number = starts.cumsum(1)  # of the word, from 1
        slots = torch.where(starts, number - 1, source.size(1))  # all that is no start goes to the last slot
        positions = torch.arange(source.size(1), device=source.device).expand_as(source)
        table = torch.zeros_like(torch.cat((source, source[:, :1]), 1)).scatter(1, slots, positions)
        is_word = torch.arange(source.size(1) + 1, device=source.device) < number[:, -1:]
        return torch.where(is_word, table, end), is_word

    def cache(self, encoded: EncoderOutput, source: Tensor, mask: Tensor) -> Cached:
        positions, is_word = self.word_positions(source, mask)
        vectors = encoded.states.gather(1, positions.unsqueeze(-1).expand(-1, -1, encoded.states.size(-1)))
        scores = self.messages(self.label_scores(vectors), is_word)
        return {SCORES: torch.where(is_word.unsqueeze(-1), scores, self.end_scores(scores)), WORDS: positions}

    def messages(self, scores: Tensor, is_word: Tensor) -> Tensor:
        """Scores (B, P, V) of the words is_word (B, P), with what later words add to them."""
        return scores

    def transitions(self) -> Tensor:
        """(V, V) added to the scores of the second label after the first one."""
        return torch.zeros_like(self.forbidden, dtype=torch.float32).masked_fill(self.forbidden, -torch.inf)

    def following(self, scores: Tensor, before: Tensor) -> Tensor:
        return scores + self.transitions()[before.clamp_max(scores.size(-1) - 1)]

    def maps(self, memory: Memory, position: Tensor) -> Tensor:
        """A label attends to the first subword of its word."""
        words = memory.cached[WORDS].index_select(1, position)  # (B, T)
        at = torch.arange(memory.mask.size(1), device=words.device) == words.unsqueeze(-1)
        return at.to(torch.promote_types(memory.states.dtype, torch.float32)).unsqueeze(2)


class CRFDecoder(TagsDecoder):
    """A linear-chain conditional random field over the labels of the words  (Lafferty et al. 2001), step by step.

    p(y_t | y_{t-1}) = exp(A[y_{t-1}, y_t] + e_t[y_t] + beta_t[y_t] - beta_{t-1}[y_{t-1}]) with backward messages beta:
    the product over the words is exp(score) / Z. A[BOS] and A[:, EOS] are the scores of the first and last label."""

    def __init__(self, size: int, labels: int, dropout: float = 0.0, *, sources: int, bio: bool = False) -> None:
        super().__init__(size, labels, dropout, sources=sources, bio=bio)
        self.chain = nn.Parameter(torch.empty(labels, labels))
        nn.init.uniform_(self.chain, -0.1, 0.1)

    def transitions(self) -> Tensor:
        chain = self.chain.to(torch.promote_types(self.chain.dtype, torch.float32))
        return chain.masked_fill(self.forbidden, -torch.inf)

    def messages(self, scores: Tensor, is_word: Tensor) -> Tensor:
        """e_t + beta_t: from the last word back, each message sums over the labels of the next word."""
        if torch.compiler.is_compiling():
            return self.messages_by_doubling(scores, is_word)
        transitions = self.transitions()
        later = transitions[:, EOS].expand(scores.size(0), -1)  # beta of the last word
        found = []
        for t in range(scores.size(1) - 1, -1, -1):
            own = scores[:, t] + later
            found.append(own)
            message = (transitions + own.unsqueeze(1)).logsumexp(-1)
            later = torch.where(is_word[:, t : t + 1], message, later)
        return torch.stack(found[::-1], 1)

    def messages_by_doubling(self, scores: Tensor, is_word: Tensor) -> Tensor:
        """The same for graphs, which have no loop over words: from products of 1, 2, 4, ... steps, of all positions
        together."""
        transitions = self.transitions().clamp_min(IMPOSSIBLE)
        none = IMPOSSIBLE * (1 - torch.eye(scores.size(-1), dtype=scores.dtype, device=scores.device))  # no step
        steps = transitions + scores.clamp_min(IMPOSSIBLE).unsqueeze(2)  # (B, P, V, V)
        product = torch.where(is_word[..., None, None], steps, none)
        position = torch.arange(scores.size(1), device=scores.device)
        for ahead in (position + 2**power for power in range(DOUBLINGS)):
            later = product.index_select(1, ahead.clamp_max(scores.size(1) - 1))
            product = log_matmul(product, torch.where((ahead < scores.size(1))[:, None, None], later, none))
        end = transitions[:, EOS]
        messages = log_matmul(product, end.unsqueeze(1)).squeeze(-1)  # (B, P, V) beta of the position before each
        return scores + torch.cat((messages[:, 1:], end.expand(scores.size(0), 1, -1)), 1)


def log_matmul(a: Tensor, b: Tensor) -> Tensor:
    """log(exp(a) @ exp(b)), terms that are e^80 times smaller than others left out."""
    rows, columns = a.amax(-1, keepdim=True), b.amax(-2, keepdim=True)
    product = (a - rows).exp() @ (b - columns).exp()
    return product.clamp_min(torch.finfo(product.dtype).tiny).log() + rows + columns


class LabelHead(nn.Module):
    """softmax over the labels that may come next; the decoder has computed their logits.

    The loss can weigh the classes, and adds |A A^T - I|^2 of the hops A of the pooling  (Lin et al. 2017, eq. 8)."""

    reads_weights = reads_parts = False
    class_weights: Tensor | None  # (V,) of the loss of each label

    def __init__(self, hop_penalty: float = 0.0) -> None:
        super().__init__()
        self.hop_penalty = hop_penalty
        self.register_buffer("class_weights", None, persistent=False)

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Logits (..., V) -> log-probabilities (..., V), float32 at least; -inf on what cannot come."""
        logits = output.features
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Sums of the cross-entropy of target_out (B, T), PAD excluded; smoothed over the labels that may come."""
        log_probs = self.log_probs(output, memory)
        real = target_out != PAD
        nll = -log_probs.gather(-1, target_out.unsqueeze(-1)).squeeze(-1).masked_fill(~real, 0.0)
        total = nll
        if smoothing:
            possible = log_probs > -torch.inf
            spread = -log_probs.masked_fill(~possible, 0.0).sum(-1) / possible.sum(-1)
            total = (1 - smoothing) * nll + smoothing * spread.masked_fill(~real, 0.0)
        if self.class_weights is not None:
            total = total * self.class_weights[target_out]
        return Loss(total.sum() + self.penalty(memory, real), nll.detach().sum())

    def penalty(self, memory: Memory, real: Tensor) -> Tensor | float:
        """The sum over the sentences that have targets real (B, T) of the penalty of their hops."""
        if not self.hop_penalty:
            return 0.0
        maps = memory.cached[MAPS]  # (B, R, S)
        excess = maps @ maps.mT - torch.eye(maps.size(1), device=maps.device, dtype=maps.dtype)
        return self.hop_penalty * (excess.square().sum((1, 2)) * real[:, 0]).sum()


LABEL_DECODERS: dict[str, type[PooledDecoder]] = {"label": OneLabelDecoder, "labels": SeveralLabelsDecoder}
TAG_DECODERS: dict[bool, type[TagsDecoder]] = {False: TagsDecoder, True: CRFDecoder}  # model.crf
