"""Weight initialization of recurrent models: one function per scheme, registered in INITIALIZERS."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from seq2seq.nn.attention.scorers import NormedAdditive
from seq2seq.nn.rnn.cells import RecurrentCell


def init_uniform(model: nn.Module, embeddings: Sequence[Tensor], width: float, embedding_width: float) -> None:
    """Uniform: embeddings within +-embedding_width, other matrices +-width  (Luong et al. 2015, section 4.1)."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            bound = embedding_width if any(parameter is table for table in embeddings) else width
            nn.init.uniform_(parameter, -bound, bound)


def init_bahdanau(model: nn.Module, embeddings: Sequence[Tensor], width: float, embedding_width: float) -> None:
    """The initialization of Bahdanau et al. 2015, section B.1; `width` and `embedding_width` are not used.

    Recurrent matrices are orthogonal, those of the attention score normal with standard deviation 0.001, its vector and
    all biases zero, all others normal with standard deviation 0.01. The vector of `normed_additive` keeps its values:
    the score divides by its norm, and a zero vector has none."""
    normed = {f"{name}.energy.weight" for name, part in model.named_modules() if isinstance(part, NormedAdditive)}
    sizes = recurrent_matrices(model)
    for name, parameter in model.named_parameters():
        is_bias = name.rpartition(".")[2].startswith("bias")
        if is_bias or (name.endswith("scorer.energy.weight") and name not in normed):
            nn.init.zeros_(parameter)
        elif parameter.dim() > 1 and name not in normed:
            nn.init.normal_(parameter, std=0.001 if ".scorer." in name else 0.01)
        if name in sizes:
            for gate in parameter.data.split(sizes[name]):
                nn.init.orthogonal_(gate[:, -sizes[name] :])


def recurrent_matrices(model: nn.Module) -> dict[str, int]:
    """Names of the matrices that map the previous state to gates -> the size of that state, their last columns."""
    sizes = {}
    for name, part in model.named_modules():
        if isinstance(part, nn.RNNBase):
            sizes[f"{name}.weight_hh_l0"] = part.hidden_size
        if isinstance(part, RecurrentCell):
            sizes |= {f"{name}.{matrix}.weight": part.size for matrix in ("recurrent", "candidate")}
    return sizes


INITIALIZERS: dict[str, Callable[[nn.Module, Sequence[Tensor], float, float], None]] = {
    "uniform": init_uniform,
    "bahdanau": init_bahdanau,
}
