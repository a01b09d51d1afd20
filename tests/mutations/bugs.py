"""Bugs that the fast tests must find, each one changed line of the package.

When a line here no longer occurs exactly once in its file, because the code was changed, write down the same bug in the
new code.
"""

from typing import NamedTuple


class Bug(NamedTuple):
    """A line of a file of the package, what it is changed to, and the tests which should fail then."""

    name: str
    file: str  # below seq2seq/
    line: str  # without its indentation; occurs once
    changed: str
    words: str  # what is wrong then
    tests: str  # files or folders below tests/, separated by spaces


SCORERS = [
    Bug(
        "scaled_dot_grows_with_size", "nn/attention/scorers.py",
        "return query * query.size(-1) ** -0.5",
        "return query * query.size(-1) ** 0.5",
        "the scaled score is multiplied by the square root of the size", "nn/attention/test_scorers.py",
    ),
    Bug(
        "gain_without_effect", "nn/attention/scorers.py",
        "return self.gain * query",
        "return query",
        "the learned gain of scaled_general is not used", "nn/attention/test_scorers.py",
    ),
    Bug(
        "cosine_of_long_states", "nn/attention/scorers.py",
        'return {"keys": normalize(states, dim=-1)}',
        'return {"keys": states}',
        "the cosine depends on the length of the states", "nn/attention/test_scorers.py",
    ),
    Bug(
        "distance_attracts", "nn/attention/scorers.py",
        "return -distance * query.size(-1) ** -0.5",
        "return distance * query.size(-1) ** -0.5",
        "the Euclidean score is higher for positions further away", "nn/attention/test_scorers.py",
    ),
    Bug(
        "vector_is_not_normed", "nn/attention/scorers.py",
        "return self.gain * normalize(super().vector(), dim=-1)",
        "return self.gain * super().vector()",
        "normed_additive is not divided by the norm of v", "nn/attention/test_scorers.py",
    ),
    Bug(
        "location_from_the_end", "nn/attention/scorers.py",
        'return self.position(query)[..., : cached["keys"].size(-2)]',
        'return self.position(query)[..., -cached["keys"].size(-2) :]',
        "the location score of a short source is that of the last positions", "nn/attention/test_scorers.py",
    ),
    Bug(
        "coverage_turned_around", "nn/attention/scorers.py",
        "return scores + covered.amount * (query @ covered.direction).unsqueeze(-1)",
        "return scores - covered.amount * (query @ covered.direction).unsqueeze(-1)",
        "coverage enters the score with the wrong sign", "nn/attention/test_scorers.py",
    ),
]  # fmt: skip
WEIGHTS = [
    Bug(
        "window_lacks_its_last_position", "nn/attention/windows.py",
        'right = positions < center + D if self.config.window_size == "2D" else positions <= center + D',
        "right = positions < center + D",
        "a window of 2D + 1 positions lacks the last one", "nn/attention/test_windows.py",
    ),
    Bug(
        "window_beyond_the_source", "nn/attention/windows.py",
        "last = mask.sum(-1, keepdim=True) - 1  # a long translation would otherwise see nothing at its end",
        "last = mask.sum(-1, keepdim=True)",
        "steps after the end of the source have the window of the position after it", "nn/attention/test_windows.py",
    ),
    Bug(
        "gaussian_of_the_wrong_width", "nn/attention/windows.py",
        "gain = torch.exp(-2 * (distance / self.config.width).square())  # sigma = D / 2",
        "gain = torch.exp(-0.5 * (distance / self.config.width).square())",
        "the Gaussian of local-p has sigma = D", "nn/attention/test_windows.py",
    ),
    Bug(
        "center_depends_on_padding", "nn/attention/windows.py",
        'length = mask.sum(-1).view(-1, 1, 1) - int(self.config.center_range == "S-1")',
        'length = mask.size(-1) - int(self.config.center_range == "S-1")',
        "the predicted centre is a share of the longest source of the batch", "nn/attention/test_windows.py",
    ),
    Bug(
        "weights_on_padding", "nn/attention/attention.py",
        "weights = normalize(scores.masked_fill(~view.allowed, torch.finfo(scores.dtype).min))",
        "weights = normalize(scores)",
        "padding and positions outside the window get weight", "nn/attention/test_attention.py",
    ),
    Bug(
        "softmax_over_the_steps", "nn/attention/normalizers.py",
        "return scores.softmax(-1)",
        "return scores.softmax(-2)",
        "the softmax is over the target steps, not the source positions", "nn/attention/test_attention.py",
    ),
    Bug(
        "sparsemax_of_the_wrong_support", "nn/attention/normalizers.py",
        "support = (rank * descending > excess).sum(-1, keepdim=True)  # how many positions keep weight",
        "support = (descending > excess).sum(-1, keepdim=True)",
        "sparsemax gives weight to the wrong number of positions", "nn/attention/test_normalizers.py",
    ),
    Bug(
        "fused_kernel_scales_again", "nn/attention/multihead.py",
        'queries, keys.to(queries.dtype), cached["values"], attn_mask=allowed, scale=1.0',
        'queries, keys.to(queries.dtype), cached["values"], attn_mask=allowed',
        "the fused kernel divides the scores by the square root of the size once more",
        "nn/attention/test_multihead.py nn/test_transformer.py",
    ),
]  # fmt: skip
MODELS = [
    Bug(
        "copies_with_the_probability_of_generating", "nn/heads.py",
        "copied = -torch.expm1(log_generate) * weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)  # (..., S)",
        "copied = log_generate.exp() * weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)",
        "a word is copied with probability g, not 1 - g", "nn/test_heads.py",
    ),
    Bug(
        "copies_from_another_sentence", "nn/heads.py",
        "tokens = tokens.unsqueeze(1).expand(-1, weights.size(0) // tokens.size(0), -1).flatten(0, 1)",
        "tokens = tokens.repeat(weights.size(0) // tokens.size(0), 1)",
        "the second hypothesis copies the words of the second sentence", "nn/test_models.py",
    ),
    Bug(
        "padding_has_a_loss", "nn/heads.py",
        "real = target != PAD",
        "real = target >= PAD",
        "padding is trained on", "nn/test_models.py nn/test_heads.py",
    ),
    Bug(
        "bias_learns_from_padding", "nn/ops/cross_entropy.py",
        "grads[2] += counts.to(grad_logits.dtype) @ grad_logits",
        "grads[2] += grad_logits.sum(0)",
        "padding adds to the gradient of the bias", "nn/ops/test_cross_entropy.py",
    ),
    Bug(
        "coverage_of_the_last_step_only", "nn/rnn/decoder.py",
        'new["covered"] = state["covered"] + context.maps[:, 0]',
        'new["covered"] = context.maps[:, 0]',
        "coverage is the attention of the step before alone, not of all steps", "nn/rnn/test_decoder.py",
    ),
    Bug(
        "dropout_in_evaluation", "nn/rnn/decoder.py",
        "if not self.training or not self.dropout.p:",
        "if not self.dropout.p:",
        "the recurrent decoder drops units out of training, too", "nn/test_build.py",
    ),
    Bug(
        "backward_states_out_of_place", "nn/rnn/encoder.py",
        'return reverse(states["hidden"], mask) if backward else states["hidden"], end',
        'return states["hidden"], end',
        "the states of the backward direction are those of other tokens", "nn/rnn/test_encoder.py nn/test_models.py",
    ),
    Bug(
        "hypothesis_sees_the_past_of_another", "nn/kv_cache.py",
        "return torch.arange(rows, device=device).unsqueeze(1) % group == torch.arange(group, device=device)",
        "return torch.arange(rows, device=device).unsqueeze(1) % group >= torch.arange(group, device=device)",
        "a hypothesis attends to the keys of those before it", "nn/test_kv_cache.py nn/test_models.py",
    ),
]  # fmt: skip
SEARCH = [
    Bug(
        "long_hypotheses_are_charged", "runtime/penalties.py",
        "return log_prob / LENGTH_PENALTIES[self.length](length, self.alpha)",
        "return log_prob * LENGTH_PENALTIES[self.length](length, self.alpha)",
        "the length penalty has the wrong sign: short hypotheses win", "runtime/test_penalties.py",
    ),
    Bug(
        "repeated_attention_is_rewarded", "runtime/penalties.py",
        "return -_log(covered.clip(COVERAGE_FLOOR, 1))",
        "return -_log(covered.clip(COVERAGE_FLOOR, None))",
        "coverage above one is not cut off and adds to the score", "runtime/test_penalties.py",
    ),
    Bug(
        "states_are_not_reordered", "search/base.py",
        "ensemble.select_rows(sentences[:, None] * width + parents)",
        "ensemble.select_rows(sentences[:, None] * width + parents.sort(1).values)",
        "hypotheses get the decoder states of other hypotheses", "search/test_beam.py",
    ),
    Bug(
        "eos_does_not_finish", "search/beam.py",
        "ends = (by_eos | stops[:, None]) & (self.log_prob != -torch.inf) & ~self.done[:, None]",
        "ends = stops[:, None] & (self.log_prob != -torch.inf) & ~self.done[:, None]",
        "a hypothesis that ends by EOS is not kept", "search/test_beam.py",
    ),
    Bug(
        "search_stops_too_early", "search/beam.py",
        "best_possible = self.penalties.upper_bound(next_log_prob.amax(1), self.max_lengths + 1)",
        "best_possible = self.penalties.upper_bound(next_log_prob.amax(1), length)",
        "a search ends although a longer hypothesis could still win", "search/test_beam.py",
    ),
    Bug(
        "first_ngram_may_come_twice", "search/constraints.py",
        "if length < self.size:",
        "if length <= self.size:",
        "an n-gram may be repeated directly at the start of a sentence", "search/test_beam.py",
    ),
    Bug(
        "nucleus_is_too_small", "search/sampling.py",
        "values = values.masked_fill(probabilities.cumsum(1) - probabilities >= top_p, -torch.inf)",
        "values = values.masked_fill(probabilities.cumsum(1) >= top_p, -torch.inf)",
        "the token that completes the nucleus is left out of it", "search/test_sampling.py",
    ),
    Bug(
        "ensemble_means_logarithms", "search/ensemble.py",
        "return wide[0] if len(wide) == 1 else torch.stack(wide).logsumexp(0) - math.log(len(wide))",
        "return wide[0] if len(wide) == 1 else torch.stack(wide).mean(0)",
        "an ensemble has the mean of log-probabilities, which is no distribution", "search/test_beam.py",
    ),
    Bug(
        "last_id_is_found_many_times", "search/topk.py",
        "values, order = stable_topk(values.masked_fill((columns >= size).flatten(1), -torch.inf), count)",
        "values, order = stable_topk(values, count)",
        "the last id of a vocabulary counts as several candidates", "search/test_topk.py",
    ),
]  # fmt: skip
RUNTIME = [
    Bug(
        "eos_below_the_beam_ends", "runtime/beam.py",
        "ending = best[:, : self.beam][is_eos[:, : self.beam]]",
        "ending = best[is_eos]",
        "a hypothesis ends although its EOS is not among the best W candidates", "runtime/test_beam.py",
    ),
    Bug(
        "runtime_search_stops_too_early", "runtime/beam.py",
        "reachable = self.penalties.upper_bound(best_log_prob, self.constraints.max_lengths + 1)",
        "reachable = self.penalties.upper_bound(best_log_prob, self.length + 1)",
        "a search ends although a longer hypothesis could still win", "runtime/test_beam.py",
    ),
    Bug(
        "history_of_sentences_that_left", "runtime/batch_search.py",
        "self.history.select(sentences)",
        "pass",
        "after sentences have left, hypotheses continue those of others", "runtime/test_beam.py",
    ),
    Bug(
        "attention_of_a_later_step", "runtime/batch_search.py",
        "self.history.weights.append(step.weights.reshape(batch * width, -1).copy())",
        "self.history.weights.append(step.weights.reshape(batch * width, -1))",
        "attention is kept in an array that the model overwrites", "runtime/test_beam.py",
    ),
    Bug(
        "hypotheses_have_one_parent", "runtime/history.py",
        "number[:longer] = step.parent.take(at)",
        "number[:longer] = at % step.parent.shape[1]",
        "the tokens of a hypothesis are read from another one", "runtime/test_beam.py",
    ),
    Bug(
        "repeats_of_another_hypothesis", "runtime/constraints.py",
        "before = np.take_along_axis(self.tokens, parents[..., None], 1)",
        "before = np.take_along_axis(self.tokens, parents[..., None] * 0, 1)",
        "repeated n-grams are looked for in the tokens of the first hypothesis", "runtime/test_constraints.py",
    ),
    Bug(
        "candidates_of_other_sentences", "runtime/shortlist.py",
        "return BatchCandidates(allowed, source.shape[1])",
        "return BatchCandidates(allowed | allowed.any(0), source.shape[1])",
        "a sentence may use the shortlists of the others in its batch", "runtime/test_shortlist.py",
    ),
    Bug(
        "copies_are_not_renumbered", "runtime/ensemble.py",
        "ids, mask, copy = candidates.ids, candidates.logit_mask, candidates.renumber(copy)",
        "ids, mask = candidates.ids, candidates.logit_mask",
        "with a shortlist the wrong words are copied", "runtime/test_beam.py",
    ),
    Bug(
        "any_of_equal_scores", "runtime/topk.py",
        "if count < size and tied.any():  # argpartition took any of them",
        "if False:",
        "of equal scores at the cutoff not the lower ids are kept", "runtime/test_topk.py",
    ),
]  # fmt: skip
TERMS = [
    Bug(
        "no_room_for_what_is_missing", "search/constrained.py",
        "total = total.masked_fill(missing > room[:, None], -torch.inf)",
        "total = total.masked_fill(missing > room[:, None] + 1, -torch.inf)",
        "a hypothesis reaches its maximum length before it holds all terms", "search/test_constrained.py",
    ),
    Bug(
        "ends_with_a_token_missing", "search/constrained.py",
        "log_probs[..., EOS].masked_fill_(self.terms.missing(progress) > 0, -torch.inf)",
        "log_probs[..., EOS].masked_fill_(self.terms.missing(progress) > 1, -torch.inf)",
        "a hypothesis ends although a token of its terms is missing", "search/test_constrained.py",
    ),
    Bug(
        "term_within_a_longer_word", "search/constrained.py",
        "pending = pending.masked_fill(self._continues_word(tokens) & ~begins, -1)",
        "pending = pending.clone()",
        "the beginning of a longer word counts as the term", "search/test_constrained.py",
    ),
    Bug(
        "terms_share_tokens", "search/constrained.py",
        "found = searching & (self.depth[child] <= room) & self._lacking(sums, rows, child, met)",
        "found = searching & self._lacking(sums, rows, child, met)",
        "the last token of one term counts as the first of another", "search/test_constrained.py",
    ),
    Bug(
        "broken_term_begins_anew", "search/constrained.py",
        "place = self.fail[place]",
        "place = root",
        "after A A A the term A A B is not begun", "search/test_constrained.py",
    ),
    Bug(
        "beam_is_not_divided", "runtime/constrained.py",
        "turn = np.where(grouped == last, size, turn)",
        "turn = np.where(grouped == last, size, 0)",
        "candidates that lack the fewest tokens take the whole beam", "runtime/test_torch_search.py",
    ),
    Bug(
        "term_is_a_candidate_twice", "runtime/constrained.py",
        "np.put_along_axis(known, order[..., 1:], ascending[..., 1:] == ascending[..., :-1], 2)",
        "pass",
        "a token that begins a term and is likely is two candidates", "runtime/test_torch_search.py",
    ),
    Bug(
        "terms_are_forbidden_to_repeat", "runtime/constrained.py",
        "ids = np.where((ids[..., None] == required[:, :, None]).any(3), PAD, ids)",
        "pass",
        "no_repeat forbids a term that is given twice", "runtime/test_constrained.py",
    ),
    Bug(
        "term_within_a_word", "runtime/glossary.py",
        "return place == 0 or not _within_word().match(line, place - 1)",
        "return True",
        "a term of a glossary is found within a longer word", "runtime/test_glossary.py",
    ),
    Bug(
        "terms_as_the_vocabulary_writes_them", "runtime/translation.py",
        'text[start:end] = [space + term.text, *[""] * (end - start - 1)]',
        'text[start:end] = [space + "".join(text[start:end]).strip(), *[""] * (end - start - 1)]',
        "a protected span comes through as UNK", "test_translator.py",
    ),
    Bug(
        "number_is_written_apart", "runtime/translation.py",
        'joined = before.endswith(" ") or (term.follows and before.endswith(term.follows))',
        'joined = before.endswith(" ")',
        "( 4711 ) in place of (4711)", "test_translator.py",
    ),
    Bug(
        "prefix_as_the_vocabulary_writes_it", "runtime/translation.py",
        "if start and all(one.start >= start or one.term.text in given.prefix for one in placed):",
        "if False:",
        "characters of a prefix come out as UNK", "test_translator.py",
    ),
    Bug(
        "term_beside_a_span_is_dropped", "runtime/glossary.py",
        "after = bisect_right(ends, start)  # the first span that does not end before it",
        "after = bisect_right(ends, start - 1)",
        "a term of the glossary right after a protected span is not applied", "runtime/test_glossary.py",
    ),
    Bug(
        "piece_of_a_number_is_protected", "runtime/glossary.py",
        '"numbers": rf"(?<!{IN_WORD})(?<!\\d[.,:/-])\\d++(?:[.,:/-]\\d++)*+(?!{IN_WORD})",',
        '"numbers": rf"(?<!{IN_WORD})(?<!\\d[.,:/-])\\d++(?:[.,:/-]\\d++)*(?!{IN_WORD})",',
        "of 1.5km the 1 is protected", "runtime/test_glossary.py",
    ),
    Bug(
        "length_limits_count_terms", "runtime/translation.py",
        "max(most, len(start)) + sum(map(len, each))",
        "max(most, len(start), sum(map(len, each)))",
        "nothing but terms fits into a short translation", "test_translator.py",
    ),
    Bug(
        "shortlist_without_terms", "runtime/constrained.py",
        "needed = [[*chain(*each)] for each in terms]",
        "needed = [[] for _ in terms]",
        "a shortlist lacks the ids of terms", "runtime/test_torch_search.py",
    ),
]  # fmt: skip
BATCHING = [
    Bug(
        "input_is_the_next_token", "data/batching.py",
        "target_in = target_out.roll(1, dims=1)",
        "target_in = target_out.roll(-1, dims=1)",
        "the decoder is fed the tokens that it has to predict", "data/test_batching.py",
    ),
    Bug(
        "padding_is_not_in_the_budget", "data/batching.py",
        "padded = rows[: len(near)] * np.maximum.accumulate(near)",
        "padded = np.cumsum(near)",
        "a batch with its padding is larger than batch_tokens", "data/test_batching_plan.py",
    ),
    Bug(
        "every_epoch_has_the_same_order", "data/batching.py",
        "generator = np.random.default_rng([seed, epoch])",
        "generator = np.random.default_rng([seed])",
        "batches come in the same order in every epoch", "data/test_batching_plan.py data/test_batching.py",
    ),
    Bug(
        "devices_share_batches", "data/batching.py",
        "n = a * self.world + self.rank",
        "n = a + self.rank",
        "with several devices some batches are trained on twice, others never", "data/test_batching.py",
    ),
]  # fmt: skip
TRAINING = [
    Bug(
        "accumulated_gradients_are_averaged", "training/module.py",
        "self._scaled(loss.total / batch.update_size).backward()",
        "self._scaled(loss.total / batch.update_size / self.trainer.accumulate_grad_batches).backward()",
        "gradients are too small by the number of accumulated batches", "training/test_module.py",
    ),
    Bug(
        "coverage_loss_counts_the_step_itself", "training/loss.py",
        "covered = weights.cumsum(1) - weights",
        "covered = weights.cumsum(1)",
        "the coverage loss charges all attention, not only repeated attention", "training/test_loss.py",
    ),
    Bug(
        "biases_decay", "training/optim.py",
        '{"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},',
        '{"params": [p for p in others if p.dim() <= 1], "weight_decay": weight_decay},',
        "weight decay acts on biases and gains, too", "training/test_optim.py",
    ),
    Bug(
        "resumed_training_skips_a_batch", "data/batching.py",
        'self.epoch, self.done, self.checksum = state["epoch"], state["done"], state["checksum"]',
        'self.epoch, self.done, self.checksum = state["epoch"], state["done"] + 1, state["checksum"]',
        "a resumed run leaves a batch out", "data/test_batching.py",
    ),
    Bug(
        "resumed_average_forgets", "training/averaging.py",
        'self.updates = int(state_dict["updates"])',
        "self.updates = 0",
        "the moving average of a resumed run starts again with a small decay",
        "training/test_averaging.py training/test_resume.py",
    ),
    Bug(
        "resumed_plateau_has_the_first_rate", "training/optim.py",
        'self.best, self.waited, self.scale = state["best"], int(state["waited"]), state["rate"]',
        'self.best, self.waited, self.scale = state["best"], int(state["waited"]), 1.0',
        "a resumed run has the full learning rate again", "training/test_optim.py training/test_resume.py",
    ),
    Bug(
        "resumed_dropout_draws_other_masks", "training/module.py",
        "torch.manual_seed(batch.seed)  # dropout is that of the batch, on whichever device it is",
        "pass",
        "the random numbers of a batch depend on those before it", "training/test_resume.py",
    ),
    Bug(
        "resumed_patience_starts_anew", "training/validation.py",
        'self.stopping.waited, self.stopping.best = state_dict["waited"], state_dict["best"]',
        'self.stopping.waited, self.stopping.best = 0, state_dict["best"]',
        "a resumed run forgets how long it has waited for an improvement",
        "training/test_validation.py",
    ),
    Bug(
        "damaged_checkpoint_is_resumed_from", "training/resume.py",
        "os.replace(run.folder / PREVIOUS, path)",
        "os.replace(path_inside(run.folder, DAMAGED), path)",
        "a damaged last checkpoint is not replaced by the one before", "training/test_previous_checkpoint.py",
    ),
    Bug(
        "previous_weights_are_deleted", "training/checkpoint.py",
        "self.named = [*self.named[-1:], set(self.scores)]",
        "self.named = [set(self.scores)]",
        "weights that only the previous checkpoint names are deleted", "training/test_previous_checkpoint.py",
    ),
    Bug(
        "sums_of_one_process", "training/module.py",
        "nll, tokens = self.sums()",
        "nll, tokens = self.nll.item(), self.tokens.item()",
        "a checkpoint has the sums of one device only", "training/test_module.py",
    ),
    Bug(
        "rows_of_split_batches_count_twice", "training/module.py",
        "self.update = UpdateSums(self.update.batches, self.update.numbers)",
        "pass",
        "what was trained on before the memory was full counts again in the loss", "training/test_module.py",
    ),
    Bug(
        "wrong_updates_are_applied", "training/module.py",
        "if not is_scaled:  # else the scaler does so, and needs them",
        "if is_scaled:",
        "an update that is not finite changes the weights", "training/test_module.py",
    ),
]  # fmt: skip
DEVICES = [
    Bug(
        "every_device_translates_all", "translator.py",
        "return islice(items, ranks.rank(), None, ranks.world_size()) if self.shared else items",
        "return items",
        "several devices take as long as one", "distributed/test_evaluation.py",
    ),
    Bug(
        "batches_of_devices_in_another_order", "distributed/ranks.py",
        "for found in gathered(work(turn[rank()]) if rank() < len(turn) else []):",
        "for found in gathered(work(turn[rank()]) if rank() < len(turn) else [])[::-1]:",
        "attention maps are stored with other sentences", "distributed/test_evaluation.py",
    ),
    Bug(
        "translations_of_other_devices_are_lost", "translator.py",
        "return {i: found for part in ranks.gathered(translated) for i, found in part.items()}",
        "return {i: found for part in ranks.gathered(translated)[:2] for i, found in part.items()}",
        "what a third device has translated is empty", "distributed/test_evaluation.py",
    ),
    Bug(
        "part_resumes_within_a_window", "commands/shards.py",
        "file.truncate(size)", "file.truncate()",
        "an interrupted part keeps what was written of a window", "commands/test_shards.py",
    ),
    Bug(
        "parts_without_the_last_window", "commands/shards.py",
        "windows = -(-lines // size)", "windows = lines // size",
        "the last lines of a file, less than a window, are in no part", "commands/test_shards.py",
    ),
    Bug(
        "part_cuts_a_window", "commands/translate.py",
        "windows = islice(_windows(options, search.window), part.start, part.stop)",
        "windows = islice(_windows(options, search.window - 1), part.start, part.stop)",
        "parts are cut within windows", "commands/test_shards.py",
    ),
]  # fmt: skip
METRICS = [
    Bug(
        "first_references_only", "evaluation/bleu.py",
        "statistics = np.array(metric._extract_corpus_statistics(hypotheses, references), dtype=np.float64)",
        "statistics = np.array(metric._extract_corpus_statistics(hypotheses, references[:1]), dtype=np.float64)",
        "BLEU counts matches with the first of several references only", "evaluation/test_metrics.py",
    ),
    Bug(
        "interval_of_90_percent", "evaluation/significance.py",
        "ordered, outside = np.sort(values), len(values) // 40",
        "ordered, outside = np.sort(values), len(values) // 20",
        "the interval of 95 % leaves 5 % out on each side", "evaluation/test_significance.py",
    ),
    Bug(
        "p_can_be_zero", "evaluation/significance.py",
        "return float((np.sum(values >= observed - TIE_TOLERANCE) + 1) / (len(values) + 1))",
        "return float(np.sum(values >= observed - TIE_TOLERANCE) / len(values))",
        "the observed difference itself is not counted, so that p can be 0", "evaluation/test_significance.py",
    ),
    Bug(
        "precision_of_sure_links", "evaluation/alignment.py",
        '"precision": lambda n: _percent(n[1], n[2]),',
        '"precision": lambda n: _percent(n[0], n[2]),',
        "links that are only possible count as wrong", "evaluation/test_alignment.py",
    ),
    Bug(
        "pieces_of_a_target_word_add_up", "evaluation/alignment.py",
        "mean = rows / rows.sum(0, keepdims=True)",
        "mean = rows",
        "attention of a target word of several pieces sums to more than one", "evaluation/test_alignment.py",
    ),
]  # fmt: skip

BUNDLES = [
    Bug(
        "changed_files_are_used", "runtime/bundle.py",
        "if len(content) != listed.size or hashlib.sha256(content).hexdigest() != listed.sha256:",
        "if len(content) != listed.size:",
        "the hash of a file is not compared", "runtime/test_bundle.py",
    ),
    Bug(
        "links_are_followed", "runtime/bundle.py",
        "if path.is_symlink():", "if path == self.folder:",
        "a file of a bundle may be a link", "runtime/test_bundle.py",
    ),
    Bug(
        "newer_bundles_are_read", "runtime/bundle.py",
        "if schema != SCHEMA and schema not in UPGRADES:", "if schema < 0:",
        "a schema that never was is read", "runtime/test_bundle.py",
    ),
    Bug(
        "entries_overlap", "runtime/zip_files.py",
        "if entry.header < ends:", "if entry.header < 0:",
        "the same bytes of a zip file are several files", "runtime/test_bundle.py",
    ),
    Bug(
        "entries_are_links", "runtime/zip_files.py",
        "if stat.S_IFMT(mode) and not stat.S_ISREG(mode):", "if stat.S_ISDIR(mode):",
        "an entry of a zip file may be a link", "runtime/test_bundle.py",
    ),
    Bug(
        "tensors_lie_elsewhere", "runtime/graph_files.py",
        "if kind == \"tensor\" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):",
        "if kind == \"tensor\" and number == EXTERNAL_DATA:",
        "a tensor that says only that it lies elsewhere passes", "runtime/test_bundle.py",
    ),
    Bug(
        "tokenizers_of_another_model", "runtime/translator.py",
        "if model.size != size:", "if model.size < size:",
        "a tokenizer with more entries than the model passes", "runtime/test_translator.py",
    ),
    Bug(
        "scores_of_the_wrong_sentence", "runtime/forced.py",
        "index, tokens, done = index[~done], tokens[~done], done[~done]",
        "index, tokens, done = index[: len(index) - sum(done)], tokens[~done], done[~done]",
        "once sentences have left the batch, scores are those of others", "runtime/test_translator.py",
    ),
    Bug(
        "one_thread_for_batches", "runtime/cpu.py",
        "return 1 if rows <= SMALL_ROWS else most", "return 1 if rows > SMALL_ROWS else most",
        "a batch takes one thread, and a sentence alone all cores",
        "runtime/test_translator.py test_translator_open.py",
    ),
]  # fmt: skip

AROUND = [
    Bug(
        "check_that_hides_the_others", "doctor/finding.py",
        "except Exception as error:", "except ValueError as error:",
        "a check that fails unexpectedly ends `doctor`", "doctor",
    ),
    Bug(
        "bad_training_starts", "commands/doctor.py",
        'bad += [name] if level == "bad" else []', "bad += []",
        "`doctor` has the exit code 0 whatever it finds", "doctor",
    ),
    Bug(
        "copies_are_not_counted", "doctor/training.py",
        "copies = pairs - len(np.unique(np.frombuffer(hashes, np.int64)))", "copies = pairs - len(hashes)",
        "a corpus of one sentence has no copies", "doctor",
    ),
    Bug(
        "other_sentences_shown", "training/validation.py",
        "chosen = [(2 * k + 1) * len(pairs) // (2 * count) for k in range(count)]", "chosen = [*range(count)]",
        "the first dev sentences are shown, not those that are spread over the set", "training/test_validation.py",
    ),
    Bug(
        "layers_from_zero", "serve/heads.py",
        "layer = maps[choice.layer - 1]", "layer = maps[choice.layer]",
        "a request for a layer gets the attention of the next", "serve/test_heads.py",
    ),
    Bug(
        "any_script_runs", "utils/page.py",
        """f"default-src 'none'; script-src '{sha256(script)}'; style-src '{sha256(style)}'; \"""",
        """f"default-src 'none'; script-src 'unsafe-inline'; style-src '{sha256(style)}'; \"""",
        "the policy of a page lets any script in it run", "serve/test_page.py compare/report/test_page.py",
    ),
    Bug(
        "stale_text", "data/text_hash.py",
        "return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)",
        "return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, 0)",
        "text that was changed in place, and given its old time, is taken for what was read", "data/test_scan.py",
    ),
    Bug(
        "text_of_this_second", "data/scan.py",
        "if max(changed) > (self.began - CLOCK_STEP) * 1e9:", "if False:",
        "text that may still change within the same tick of the clock is recorded", "data/test_scan.py",
    ),
    Bug(
        "answers_mixed_up", "serve/batching.py",
        "self.answer.set_result([self.found[i] for i in range(len(self.lines))])",
        "self.answer.set_result([*self.found.values()])",
        "a text whose sentences were in several batches gets them in the order of the batches",
        "serve/test_batching.py serve/test_app.py",
    ),
    Bug(
        "closed_too_early", "serve/app.py",
        "found = [entry for entry in self.replaced if entry[0] < oldest]", "found = [*self.replaced]",
        "a model that was replaced is closed while requests wait for it", "serve/test_reload.py",
    ),
    Bug(
        "wide_beams_for_free", "serve/batching.py",
        "most, budget = max(1, int(search.batch / wider)), self.limits.tokens / wider",
        "most, budget = search.batch, self.limits.tokens",
        "one request with wide beams takes the time of many", "serve/test_batching.py",
    ),
    Bug(
        "answer_never_read", "serve/server.py",
        "connection.transport.abort()  # its client does not read the answer", "pass",
        "a client that does not read its answer keeps its connection, and the server from ending",
        "serve/test_hostile.py",
    ),
    Bug(
        "half_a_model", "serve/reload.py",
        "if state == self.last[info.name] != self.opened[info.name]:", "if state != self.opened[info.name]:",
        "a model is opened while its file is still being written", "serve/test_reload.py",
    ),
    Bug(
        "packets_wait", "serve/server.py",
        "listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)", "pass",
        "every answer waits 40 ms for an acknowledgement", "serve/test_server.py",
    ),
    Bug(
        "headers_byte_by_byte", "serve/server.py",
        "connection.transport.close()", "pass",
        "a client that never completes its request keeps its connection for ever", "serve/test_hostile.py",
    ),
    Bug(
        "actors_take_all_cores", "ray_data.py",
        "compute=data.ActorPoolStrategy(min_size=1, max_size=actors),", "compute=data.ActorPoolStrategy(size=actors),",
        "with as many actors as cores the dataset is never read", "test_ray_data.py",
    ),
]  # fmt: skip

LABELS = [
    Bug(
        "padding_is_averaged", "nn/attention/pooling.py",
        "share = share / share.sum(1, keepdim=True).clamp_min(1)", "share = share / share.size(1)",
        "mean pooling divides by the padded length", "nn/attention/test_pooling.py",
    ),
    Bug(
        "padding_is_largest", "nn/attention/pooling.py",
        "vector, position = states.masked_fill(~mask.unsqueeze(-1), lowest).max(1)  # (B, M) each",
        "vector, position = states.masked_fill(~mask.unsqueeze(-1), 0.0).max(1)  # (B, M) each",
        "the maximum of negative states is that of padding", "nn/attention/test_pooling.py",
    ),
    Bug(
        "messages_of_padding", "nn/labels.py",
        "later = torch.where(is_word[:, t : t + 1], message, later)", "later = message",
        "the CRF's messages begin after the longest text, not after each", "nn/test_labels.py",
    ),
    Bug(
        "messages_without_transitions", "nn/labels.py",
        "message = (transitions + own.unsqueeze(1)).logsumexp(-1)",
        "message = (0 * transitions + own.unsqueeze(1)).logsumexp(-1)",
        "the CRF's messages do not depend on the label before", "nn/test_labels.py",
    ),
    Bug(
        "labels_in_order_of_ids", "nn/labels.py",
        "self.order = torch.tensor(names, device=self.order.device)", "pass",
        "several labels come in the order of the vocabulary, not of their names", "nn/test_labels.py",
    ),
    Bug(
        "absent_labels_are_free", "nn/labels.py",
        "found = torch.where((entries == self.absent) & ~ends, no, found)",
        "found = torch.where((entries == self.absent) & ~ends, 0.0, found)",
        "that a label is absent has probability 1", "nn/test_labels.py",
    ),
    Bug(
        "subwords_are_words", "nn/labels.py",
        "self.is_start = torch.tensor([piece.startswith(SPACE_MARK) for piece in source], device=device)",
        "self.is_start = torch.tensor([bool(piece) for piece in source], device=device)",
        "every subword gets a label", "nn/test_labels.py",
    ),
    Bug(
        "any_tag_follows", "utils/bio.py",
        'return not tag.startswith("I-") or before in (f"B-{tag[2:]}", tag)', "return True",
        "BIO leaves out nothing", "nn/test_labels.py",
    ),
    Bug(
        "entity_without_its_end", "utils/bio.py",
        "if prefix != \"O\" and (prefix == \"B\" or own != kind):", "if prefix == \"B\":",
        "an I- tag that follows nothing has the beginning of the entity before", "evaluation/test_labels.py",
    ),
    Bug(
        "classes_that_nobody_has", "evaluation/labels.py",
        "occurs = right + wrong + missing > 0", "occurs = right + wrong + missing >= 0",
        "a class that a resample lacks lowers its F1", "evaluation/test_labels.py",
    ),
    Bug(
        "probabilities_of_absence", "evaluation/classes.py",
        "row[k] = -np.expm1(log_prob) if i == entries.absent else np.exp(log_prob)", "row[k] = np.exp(log_prob)",
        "the probability of a label that is absent is that of its absence", "commands/test_labels.py",
    ),
    Bug(
        "beam_narrowed_to_the_answers", "commands/predict.py",
        "beam = max(options.n_best, translator.search.beam)", "beam = options.n_best",
        "predict --n-best 2 searches with a beam of 2", "commands/test_labels.py",
    ),
    Bug(
        "stale_probabilities", "evaluation/store.py",
        'if fits(stored, {"values": [[NUMBER]]}) and stored["labels"] == labels and _depends_on(stored, fingerprint):',
        'if fits(stored, {"values": [[NUMBER]]}) and stored["labels"] == labels:',
        "stored probabilities are used whatever weights and text they are of", "commands/test_labels.py",
    ),
    Bug(
        "spaces_are_words", "nn/labels.py",
        "return starts & (~self.is_space[source] | followed)", "return starts",
        "each of several spaces begins a word", "nn/test_labels.py",
    ),
    Bug(
        "labels_are_sampled", "data/tokenizer.py",
        "if self._whole_words:", "if False:",
        "tokenizer.sampling splits labels", "data/test_labels.py",
    ),
    Bug(
        "unknown_labels_of_training", "data/prepare.py",
        'if counts.sums["unknown_target"] and data.targets != "text":  # of given vocabularies', "if False:",
        "labels that given vocabularies lack are trained on as unknown", "data/test_labels.py",
    ),
    Bug(
        "labels_of_files_unchecked", "evaluation/testset.py",
        'if targets != "text":', "if False:",
        "labels in files are not checked, nor sorted", "commands/test_labels.py",
    ),
    Bug(
        "texts_without_labels", "data/prepare.py",
        'blank_targets=data.targets == "labels",', "blank_targets=False,",
        "texts without any of several labels are dropped", "data/test_labels.py",
    ),
    Bug(
        "prefix_of_absent_labels", "runtime/translation.py",
        "start = self.encode_target(prefix, source) if prefix else []", "start = self.encode_target(prefix, source)",
        "no prefix is a prefix of absent labels", "commands/test_labels.py",
    ),
    Bug(
        "erased_words_are_kept", "evaluation/erasure.py",
        "without={name: probabilities(lambda i, at: i not in at, places) for name, places in chosen.items()},",
        "without={name: probabilities(lambda i, at: True, places) for name, places in chosen.items()},",
        "nothing is erased", "evaluation/test_erasure.py",
    ),
    Bug(
        "new_settings_change_names", "config/io.py",
        "if name not in NOT_HASHED and not (name in ADDED and value == defaults[name])", "if name not in NOT_HASHED",
        "runs of before have other names", "config/test_config.py runs/test_directory.py",
    ),
]  # fmt: skip

BUGS = [
    *SCORERS,
    *WEIGHTS,
    *MODELS,
    *SEARCH,
    *RUNTIME,
    *TERMS,
    *BUNDLES,
    *BATCHING,
    *TRAINING,
    *DEVICES,
    *METRICS,
    *AROUND,
    *LABELS,
]
