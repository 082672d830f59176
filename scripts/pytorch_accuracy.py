#!/usr/bin/env python3
"""Error of PyTorch's float32 CPU kernels against its float64 ones, by the offset of the input in standard deviations.

The other side of the table in README.md; ours is printed by `cargo test --test gpu any_offset -- --nocapture`.
Needs: pip install torch
"""
import torch
import torch.nn.functional as F

torch.manual_seed(0)
NORMS = [
    ("layer_norm [3, 1000]", (3, 1000), 1000, lambda x, w, b: F.layer_norm(x, (1000,), w, b)),
    ("batch_norm [4, 3, 6, 6]", (4, 3, 6, 6), 3, lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    ("group_norm [2, 4, 64], 2 groups", (2, 4, 64), 4, lambda x, w, b: F.group_norm(x, 2, w, b)),
]


def run(norm, input, weight, bias, grad_output):
    leaves = [t.clone().requires_grad_(True) for t in (input, weight, bias)]
    output = norm(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad_output)]


def error(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


print("PyTorch", torch.__version__)
for name, shape, channels, norm in NORMS:
    for offset in [0, 1e2, 1e4, 1e6]:
        input = torch.randn(shape) + 0.5 + offset
        weight, bias = 1 + 0.5 * torch.randn(channels), 0.5 * torch.randn(channels)
        tensors = [input, weight, bias, torch.randn(shape)]
        pairs = zip(run(norm, *tensors), run(norm, *(t.double() for t in tensors)))
        names = ["output", "grad_input", "grad_weight", "grad_bias"]
        errors = ", ".join(f"{n} {error(*pair):.1e}" for n, pair in zip(names, pairs))
        print(f"{name}, offset {offset:.0e}: {errors}")
