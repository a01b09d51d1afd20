"""Does the loss reach every parameter of every model, by the gradient that it has?"""

import torch


def loss(case):
    memory = case.model.encode(case.source, case.copy if case.model.head.reads_weights else None)
    return case.model.head.loss(case.model.decode(case.target_in, memory), memory, case.target_out, 0.1).total


def needless(case, name):
    """Whether the loss does not depend on this parameter, which then has a gradient of zeros."""
    attention = case.config.attention
    if attention.window == "last" or (
        attention.scorer == "uniform" and attention.window != "local_p"
    ):  # the weights are constant
        parts = [".scorer.", ".direction", "cross.query.", "cross.key.", "around_cross.norm."]
        if (
            attention.window == "last" and getattr(case.config, "bridge", "") == "zero"
        ):  # what is read backwards ends at its first step
            last = f"encoder.backwards.{len(case.model.encoder.backwards) - 1}"
            parts += [f"{last}.{name}" for name in ("weight_hh", "cell.recurrent", "cell.candidate")]
        return any(part in name for part in parts)
    return name.endswith((".cross.key.bias", ".attention.key.bias"))  # adds q . b to the scores of all positions alike


def test_the_gradient_is_that_of_the_loss(case):
    """In a random direction, by central differences: nothing that the loss goes through is detached."""
    step = 1e-6
    case.model.double()
    parameters = list(case.model.parameters())
    directions = [
        torch.randn(w.shape, dtype=w.dtype, generator=torch.Generator().manual_seed(i))
        for i, w in enumerate(parameters)
    ]

    def moved(by):
        with torch.no_grad():
            for weight, direction in zip(parameters, directions, strict=True):
                weight.add_(by * direction)
        return loss(case)

    gradients = torch.autograd.grad(moved(0), parameters, materialize_grads=True)
    along = sum((gradient * direction).sum() for gradient, direction in zip(gradients, directions, strict=True))
    ahead, behind = moved(step), moved(-2 * step)
    torch.testing.assert_close(along, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7)


def test_every_parameter_gets_a_gradient(case):
    loss(case).backward()
    for name, weight in case.model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any() or needless(case, name), name
