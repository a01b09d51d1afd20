"""The gradient of the loss is right, and reaches every parameter of every model."""

import torch


def loss(case):
    memory = case.model.encode(case.source, case.copy if case.model.head.reads_weights else None)
    return case.model.head.loss(case.model.decode(case.target_in, memory), memory, case.target_out, 0.1).total


def has_no_effect(case, name):
    """Whether the loss does not depend on this parameter, so that its gradient is zero."""
    attention = case.config.attention
    constant = attention.scorer == "uniform" and attention.window != "local_p"
    if attention.window == "last" or constant:  # the attention weights do not depend on parameters
        parts = [".scorer.", ".direction", "cross.query.", "cross.key.", "around_cross.norm."]
        if attention.window == "last" and getattr(case.config, "bridge", "") == "zero":
            # only the first step of the backward direction is read, which has no previous state
            last = f"encoder.backwards.{len(case.model.encoder.backwards) - 1}"
            parts += [f"{last}.{name}" for name in ("weight_hh", "cell.recurrent", "cell.candidate")]
        if getattr(case.config, "readout", "") == "state" and case.config.bridge == "backward":
            parts.append(
                "encoder.forwards."
            )  # the context enters nowhere, and the first state is of the other direction
        return any(part in name for part in parts)
    return name.endswith(
        (".cross.key.bias", ".attention.key.bias")
    )  # adds the same q . b to the score of every position


def test_gradient_equals_central_differences(case):
    """In a random direction: nothing on the path to the loss is detached."""
    step = 1e-6
    case.model.double()
    parameters = list(case.model.parameters())
    directions = [
        torch.randn(w.shape, dtype=w.dtype, generator=torch.Generator().manual_seed(i))
        for i, w in enumerate(parameters)
    ]

    def loss_after_moving(by):
        with torch.no_grad():
            for weight, direction in zip(parameters, directions, strict=True):
                weight.add_(by * direction)
        return loss(case)

    gradients = torch.autograd.grad(loss_after_moving(0), parameters, materialize_grads=True)
    along = sum((gradient * direction).sum() for gradient, direction in zip(gradients, directions, strict=True))
    ahead, behind = loss_after_moving(step), loss_after_moving(-2 * step)
    torch.testing.assert_close(along, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7)


def test_every_parameter_gets_a_gradient(case):
    loss(case).backward()
    for name, weight in case.model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any() or has_no_effect(case, name), name
