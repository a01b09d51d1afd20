"""Training where the memory is too small for a batch: it is split, and never skipped.

The gradient of an update is the sum of the gradients of all rows of its batches, so a device can split its own batches,
and the others need not know. The random numbers of the parts, such as dropout's, are others than those of the whole."""

import logging
from collections.abc import Callable, Sequence

import torch

from seq2seq.data.batching import Batch
from seq2seq.errors import TrainingError
from seq2seq.nn.ops.devices import is_memory_error

log = logging.getLogger("seq2seq")


class BatchSplitter:
    """Trains on batches in as few parts as the memory allows, which it finds out by trying."""

    def __init__(self) -> None:
        self.most: int | None = None  # padded tokens of a part; None: no batch was too large yet

    def parts(self, batch: Batch) -> list[Batch]:
        """The batch, or the parts that are small enough for all that is known."""
        return batch.split(1 if self.most is None else -(-batch.padded // self.most))

    def train(
        self, batches: Sequence[Batch], train_on: Callable[[int, Batch], None], start_over: Callable[[], None]
    ) -> None:
        """Call `train_on` with the last of an update's batches, or with its parts, and the number of the batch.

        Where the memory is full, which leaves half a gradient, call `start_over`, and train on all batches again in
        smaller parts. Raises TrainingError if it is full with a single row."""
        todo = range(len(batches) - 1, len(batches))
        while not all(self._has_memory(i, part, train_on) for i in todo for part in self.parts(batches[i])):
            start_over()
            todo = range(len(batches))

    def _has_memory(self, number: int, part: Batch, train_on: Callable[[int, Batch], None]) -> bool:
        """Whether the memory suffices for a part; if it does, `train_on` was called."""
        try:
            train_on(number, part)
            return True
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
        # here the error, and with it the tensors of the frames that it has passed, is gone
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(part.source) == 1:
            raise TrainingError(
                f"out of memory with a single pair, of {part.padded} tokens: lower data.max_tokens, or model sizes"
            )
        self.most = -(-part.padded // 2)
        log.warning(
            "the memory is full with a batch of %d padded tokens: from now on batches are split into parts of up to %d",
            part.padded,
            self.most,
        )
        return False
