"""How does Lightning get its batches?"""

import lightning as L

from seq2seq.data.batching import TrainBatches


class TrainingData(L.LightningDataModule):
    """The training batches; what was consumed is saved with each checkpoint, since they have a state_dict."""

    def __init__(self, batches: TrainBatches) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> TrainBatches:
        return self.batches
