#!/usr/bin/env python3
"""Errors of PyTorch's float32 CPU kernels and of this crate's on the same inputs, by the offset of the input in standard deviations.

The table under "Accuracy" in README.md. Both against PyTorch's float64 kernels; ours are computed by `check --dump`, on the adapter that
the environment selects. Needs: pip install torch safetensors numpy
"""
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

DRAWS = 40
OFFSETS = [0, 1e2, 1e4, 1e6]
# Metadata, shape, parameters, the norm.
NORMS = [
    (dict(op="layer_norm", normalized_shape="1000"), (3, 1000), 1000, lambda x, w, b: F.layer_norm(x, (1000,), w, b)),
    (dict(op="layer_norm", normalized_shape="768"), (5, 768), 768, lambda x, w, b: F.layer_norm(x, (768,), w, b)),
    (dict(op="rms_norm", normalized_shape="1000"), (3, 1000), 1000, lambda x, w, b: F.rms_norm(x, (1000,), w, 1e-5)),
    (dict(op="batch_norm"), (4, 3, 6, 6), 3, lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    (dict(op="batch_norm"), (70, 5), 5, lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    (dict(op="group_norm", num_groups="2"), (2, 4, 64), 4, lambda x, w, b: F.group_norm(x, 2, w, b)),
    (dict(op="instance_norm"), (2, 3, 33), 3, lambda x, w, b: F.instance_norm(x, weight=w, bias=b)),
]
NAMES = ["output", "grad_input", "grad_weight"]


def run(norm, input, weight, bias, grad_output):
    leaves = [t.clone().requires_grad_(True) for t in (input, weight)]
    output = norm(*leaves, bias)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad_output)]


def error(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


def generate(folder):
    """Writes each case to a file; returns PyTorch's errors and the exact results by the name of the case."""
    theirs, exact = {}, {}
    for k, (metadata, shape, channels, norm) in enumerate(NORMS):
        for offset in OFFSETS:
            for draw in range(DRAWS):
                torch.manual_seed(1000 * k + draw)
                # RMS norm does not center: to it the offset is a scale.
                input = torch.randn(shape) + 0.5 + offset
                weight, bias = 1 + 0.5 * torch.randn(channels), 0.5 * torch.randn(channels)
                tensors = dict(input=input, weight=weight, bias=bias, grad_output=torch.randn(shape))
                want = run(norm, *(t.double() for t in tensors.values()))
                got = run(norm, *tensors.values())
                if metadata["op"] == "rms_norm":
                    del tensors["bias"]
                case = f"{k}_{offset:.0f}_{draw}.safetensors"
                save_file(tensors, folder / case, metadata)
                theirs[case] = [error(*pair) for pair in zip(got, want)]
                exact[case] = want
    return theirs, exact


def main():
    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        cases, dump = Path(folder) / "cases", Path(folder) / "dump"
        cases.mkdir()
        theirs, exact = generate(cases)
        command = ["cargo", "run", "--quiet", "--release", "--example", "check", "--", "--dump", str(dump), str(cases)]
        subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
        ours = {}
        for case, want in exact.items():
            got = load_file(dump / case)
            ours[case] = [error(got[name], w) for name, w in zip(NAMES, want)]
    print(f"PyTorch {torch.__version__}; median / worst of {DRAWS * len(NORMS)} cases, or of {DRAWS}")
    for offset in OFFSETS:
        for k, (metadata, shape, *_) in [(None, ({"op": "all"}, "")), *enumerate(NORMS)]:
            chosen = [c for c in ours if c.split("_")[1] == f"{offset:.0f}" and k in (None, int(c.split("_")[0]))]
            columns = []
            for i, name in enumerate(NAMES):
                for errors in (ours, theirs):
                    values = torch.tensor([errors[case][i] for case in chosen])
                    columns.append(f"{values.median():.1e} / {values.max():.1e}")
                columns[-2] = f"{name}: here {columns[-2]}"
                columns[-1] = f"PyTorch {columns[-1]}"
            print(f"offset {offset:.0e}, {metadata['op']} {shape}: " + ", ".join(columns))


main()
