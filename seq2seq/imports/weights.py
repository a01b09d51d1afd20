"""The tensors of another toolkit's model, from safetensors or a PyTorch file that is read without running code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import torch
from torch import Tensor

from seq2seq.errors import RunError, shortened
from seq2seq.runs.directory import MAX_WEIGHTS_BYTES
from seq2seq.runs.weights import DTYPES, open_tensors
from seq2seq.runtime.untrusted import library_path, open_file

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class ForeignWeights:
    """Named tensors; each is checked when it is taken, and those that were not are known."""

    def __init__(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """path: of the file, for messages."""
        self.tensors, self.path = tensors, path
        self.taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor as float32. Raises RunError if it is missing, of another shape, or not of finite numbers.

        Minus infinity is allowed in a bias: it makes an entry impossible."""
        if name not in self.tensors:
            raise RunError(f"{self.path} has no tensor {name}")
        self.taken.add(name)
        tensor = self.tensors[name]
        if tuple(tensor.shape) != shape:
            found, wanted = ([*size] for size in (tensor.shape, shape))
            raise RunError(f"{self.path}: {name} has the shape {found}, where its settings need {wanted}")
        if tensor.dtype not in FLOATS:
            raise RunError(f"{self.path}: {name} holds numbers of type {tensor.dtype}, which are no weights")
        tensor = tensor.float()
        if not (tensor.isfinite() | ((tensor == -torch.inf) & name.endswith("bias"))).all():
            raise RunError(f"{self.path}: {name} holds numbers that are not finite")
        return tensor

    def linear(self, name: str, outputs: int, inputs: int, bias: bool = True) -> tuple[Tensor, Tensor]:
        """Weight and bias of a linear layer; zeros if it has none."""
        weight = self.take(f"{name}.weight", outputs, inputs)
        return weight, self.take(f"{name}.bias", outputs) if bias else torch.zeros(outputs)

    def ignore(self, *endings: str) -> None:
        """Count the tensors with these endings as taken."""
        self.taken |= {name for name in self.tensors if name.endswith(endings)}

    def refuse_others(self) -> None:
        """Raise RunError if a tensor was not taken: the model would be another one without it."""
        if others := sorted(self.tensors.keys() - self.taken):
            count = f"{len(others)} of {len(self.tensors)} tensors"
            raise RunError(
                f"{self.path} holds {count} that this model has no place for, such as {shortened(others[0])}"
            )


@contextmanager
def open_safetensors(path: Path) -> Iterator[ForeignWeights]:
    """The tensors of a safetensors file. Raises RunError if it is damaged, or holds other than floating-point ones."""
    with open_tensors(path) as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            if (dtype := file.get_slice(name).get_dtype()) not in DTYPES:
                raise RunError(
                    f"{path} holds {dtype} numbers in {shortened(name)}: one of {', '.join(DTYPES)} is needed"
                )
        yield ForeignWeights({name: file.get_tensor(name) for name in file.keys()}, path)  # noqa: SIM118


@contextmanager
def open_pickled(path: Path) -> Iterator[ForeignWeights]:
    """The tensors of a file of torch.save that holds nothing else; torch reads it with weights_only=True.

    Raises RunError if it holds other objects, or is damaged."""
    with open_file(path, MAX_WEIGHTS_BYTES) as file:
        try:
            compressed = is_zipfile(file) and any(one.compress_type for one in ZipFile(file).infolist())
            loaded = None if compressed else torch.load(library_path(file), weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises many types for a damaged file
            raise RunError(f"{path} cannot be read: it is damaged, or holds other objects than tensors") from error
    if compressed:
        raise RunError(f"{path} is compressed, which torch.save does not do: it may be far larger than its file")
    if not isinstance(loaded, dict) or not all(map(_is_plain, loaded.values())):
        raise RunError(f"{path} holds other objects than named tensors")
    held = sum(x.untyped_storage().nbytes() for x in loaded.values())
    if any(x.numel() * x.element_size() > max(held, 1) for x in loaded.values()):  # expanded from a few numbers
        raise RunError(f"{path} holds tensors that are larger than the file")
    yield ForeignWeights({str(name): x for name, x in loaded.items()}, path)


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor of numbers in memory: not sparse, nested, or one that has a shape only."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_nested
    )
