"""What do the weights of a recurrent model start as? One function per scheme, one row per function in INITIALIZERS."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from seq2seq.nn.attention.scorers import NormedAdditive
from seq2seq.nn.rnn.cells import RecurrentCell


def uniform(model: nn.Module, tables: Sequence[Tensor], width: float, table_width: float) -> None:
    """Uniform between plus and minus `width`, embeddings between plus and minus `table_width`  (Luong et al. 2015, section 4.1)."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            bound = table_width if any(parameter is table for table in tables) else width
            nn.init.uniform_(parameter, -bound, bound)


def bahdanau(model: nn.Module, tables: Sequence[Tensor], width: float, table_width: float) -> None:
    """Recurrent matrices orthogonal, those of the score normal with deviation 0.001, its vector and all biases zero, the others normal with
    deviation 0.01  (Bahdanau et al. 2015, section B.1). A vector that the score divides by its length stays: zero has none."""
    divided = {f"{name}.energy.weight" for name, part in model.named_modules() if isinstance(part, NormedAdditive)}
    sizes = recurrent(model)
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2].startswith("bias") or (
            name.endswith("scorer.energy.weight") and name not in divided
        ):
            nn.init.zeros_(parameter)
        elif parameter.dim() > 1 and name not in divided:
            nn.init.normal_(parameter, std=0.001 if ".scorer." in name else 0.01)
        for gate in parameter.data.split(sizes[name]) if name in sizes else ():
            nn.init.orthogonal_(gate[:, -sizes[name] :])


def recurrent(model: nn.Module) -> dict[str, int]:
    """The matrices that take a state to its gates -> the size of the state, which is the last that they read."""
    found = {}
    for name, part in model.named_modules():
        if isinstance(part, nn.RNNBase):
            found[f"{name}.weight_hh_l0"] = part.hidden_size
        if isinstance(part, RecurrentCell):
            found |= {f"{name}.{matrix}.weight": part.size for matrix in ("recurrent", "candidate")}
    return found


INITIALIZERS: dict[str, Callable[[nn.Module, Sequence[Tensor], float, float], None]] = {
    "uniform": uniform,
    "bahdanau": bahdanau,
}
