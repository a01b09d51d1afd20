"""What do the weights of a recurrent model start as? One function per scheme, one row per function in INITIALIZERS."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

RECURRENT = ("recurrent.weight", "candidate.weight", "weight_hh_l0")  # ends of the names of matrices that take the state to the state


def uniform(model: nn.Module, tables: Sequence[Tensor], width: float, table_width: float) -> None:
    """Uniform between plus and minus `width`, embeddings between plus and minus `table_width`  (Luong et al. 2015, section 4.1)."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            bound = table_width if any(parameter is table for table in tables) else width
            nn.init.uniform_(parameter, -bound, bound)


def bahdanau(model: nn.Module, tables: Sequence[Tensor], width: float, table_width: float) -> None:
    """Recurrent matrices orthogonal, those of the score normal with deviation 0.001, its vector and all biases zero, the others normal with
    deviation 0.01  (Bahdanau et al. 2015, section B.1)."""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or name.endswith("scorer.energy.weight"):
            nn.init.zeros_(parameter)
        elif name.endswith(RECURRENT):
            for gate in parameter.data.split(parameter.size(0) // max(1, parameter.size(0) // parameter.size(1))):
                nn.init.orthogonal_(gate)
        else:
            nn.init.normal_(parameter, std=0.001 if ".scorer." in name else 0.01)


INITIALIZERS: dict[str, Callable[[nn.Module, Sequence[Tensor], float, float], None]] = {"uniform": uniform, "bahdanau": bahdanau}
