#!/usr/bin/env python3
"""Write the test cases of tests/cases/: inputs in f32, and what PyTorch on the CPU makes of them in f64.

    needs: pip install torch safetensors numpy
    usage: python scripts/generate_cases.py [FOLDER]        (default: tests/cases beside this script's folder)

One safetensors file per case; in FOLDER/surrounded norms with what may surround them (marked * below), and in
FOLDER/reference lengths, second derivatives, shards and virtual batches (marked +).
Metadata, all text, with the defaults of a key that is missing:
    op                batch_norm | layer_norm | instance_norm | group_norm | rms_norm
    eps               1e-5
    training          true | false; default true
    momentum          batch_norm and instance_norm only: a number, or none (cumulative average); default 0.1
    num_groups        group_norm only
    normalized_shape  layer_norm and rms_norm only, such as "4,5"
    channels_last     true | false: the input is [N, ..., C]; default false
    channels_first    true | false: layer_norm and rms_norm over the C of [N, C, ...]; default false
    per_sample *      true | false: weight and bias are [N, C] (of layer_norm and rms_norm [N, D]); default false
    zero_centered_weight *  true | false: multiply by 1 + weight; default false
    length_axis +     the dimension along which the samples end after `lengths`
    ranks +           batch_norm only, such as "3,0,4": samples of each rank, with the statistics of all of them
    virtual_batch_size +  batch_norm only: samples that are normalized together in training; default all
    activation *      none | relu | leaky_relu (slope 0.01) | silu | gelu (exact) | gelu_tanh | sigmoid | tanh; default none
Tensors:
    input                           F32, F16, BF16
    weight, bias                    F32; missing: there is none
    running_mean, running_var       F32; missing: none are kept
    num_batches_tracked             I64, a scalar, before the call; with running statistics only
    grad_output                     as input; missing: the case has no backward
    residual *                      as input: layer and RMS norm normalize input + residual, the others add it after weight
                                    and bias and before the activation
    lengths +                       I64, [N]: all results behind them are 0
    grad_residual_output +          as input: gradient of the residual_output of layer and RMS norm; missing: 0
    grad_grad_input +               as input: gradient of a function of grad_input
    expected.output, expected.running_mean, expected.running_var,
    expected.grad_input, expected.grad_weight, expected.grad_bias,
    expected.residual_output *  (input + residual, of layer and RMS norm), expected.grad_residual *,
    expected.double_grad_input +, expected.double_grad_weight +, expected.grad_grad_output + (the gradients of
    sum(grad_input * grad_grad_input))    F64

The expectations are computed in f64 from the inputs as rounded to their type. Random numbers are seeded by the name of the case,
so that a case added or changed leaves the files of the others alone.
"""
import json
import pathlib
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save

DEFAULTS = {"eps": 1e-5, "training": True, "momentum": 0.1}
RUNNING = ("batch_norm", "instance_norm")  # those that can keep running statistics
TRAIN, EVAL = True, False
ROWS = ("layer_norm", "rms_norm")  # those that normalize over the last dimensions
ACTIVATIONS = {
    "none": lambda x: x,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def cases():
    """Yields (name, settings): op, shape and whatever differs from `build`'s defaults."""
    yield from batch_norm_cases()
    yield from instance_norm_cases()
    yield from group_norm_cases()
    yield from layer_norm_cases()
    yield from rms_norm_cases()


def batch_norm_cases():
    def case(name, shape, training=TRAIN, **settings):
        return f"batch_norm_{name}", dict(op="batch_norm", shape=shape, training=training, **settings)

    yield case("train_defaults_2d", (7, 5), explicit=False)
    yield case("train_affine_3d_primes", (5, 3, 13), momentum=0.3)
    yield case("train_affine_4d", (3, 4, 5, 5), eps=1e-3)
    yield case("train_affine_5d", (2, 3, 2, 3, 4), momentum=None)
    yield case("train_weight_4d", (2, 7, 3, 3), affine="weight", momentum=None, batches=0)
    yield case("train_bias_3d_65", (2, 2, 65), affine="bias")
    yield case("train_plain_2d_eps_0", (11, 3), affine="", eps=0.0)
    yield case("train_untracked_4d", (3, 3, 4, 4), tracked=False)
    yield case("train_pixel_4d", (6, 5, 1, 1))
    yield case("train_one_sample_3d_63", (1, 4, 63))
    yield case("train_offset_4d", (4, 3, 5, 5), mean=150.0, std=1.5)
    yield case("train_constant_channel_3d", (3, 4, 7), constant_channel=1)
    yield case("eval_defaults_2d", (5, 7), EVAL, explicit=False)
    yield case("eval_affine_4d", (2, 5, 4, 4), EVAL, eps=1e-3)
    yield case("eval_weight_3d_64", (2, 3, 64), EVAL, affine="weight")
    yield case("eval_bias_5d", (2, 3, 2, 2, 3), EVAL, affine="bias", eps=0.0)
    yield case("eval_plain_one_value_2d", (1, 13), EVAL, affine="", momentum=None)
    yield case("eval_untracked_3d", (4, 3, 9), EVAL, tracked=False)
    yield case("eval_offset_3d", (3, 3, 17), EVAL, mean=100.0, std=1.0)
    yield case("train_forward_only_4d", (2, 3, 6, 5), backward=False)


def instance_norm_cases():
    def case(name, shape, training=TRAIN, **settings):
        return f"instance_norm_{name}", dict(op="instance_norm", shape=shape, training=training, **settings)

    yield case("train_plain_4d", (2, 3, 5, 5), affine="", tracked=False, explicit=False)
    yield case("train_affine_3d_64", (2, 3, 64), tracked=False)
    yield case("train_tracked_4d", (3, 5, 3, 7), momentum=0.3)
    yield case("train_cumulative_5d", (2, 2, 3, 2, 5), momentum=None, eps=1e-3)
    yield case("train_weight_tracked_3d_63", (3, 2, 63), affine="weight")
    yield case("train_bias_4d_eps_0", (2, 7, 3, 3), affine="bias", tracked=False, eps=0.0)
    yield case("train_offset_4d", (2, 3, 6, 6), tracked=False, mean=150.0, std=1.5)
    yield case("eval_tracked_4d", (2, 3, 4, 5), EVAL)
    yield case("eval_bias_tracked_3d_65", (2, 2, 65), EVAL, affine="bias")
    yield case("eval_weight_pixel_tracked_4d", (3, 5, 1, 1), EVAL, affine="weight")
    yield case("eval_plain_tracked_5d", (2, 3, 2, 3, 2), EVAL, affine="", eps=1e-3)
    yield case("eval_untracked_3d", (3, 4, 11), EVAL, tracked=False)


def group_norm_cases():
    def case(name, groups, shape, training=TRAIN, **settings):
        return f"group_norm_{name}", dict(op="group_norm", shape=shape, num_groups=groups, training=training, **settings)

    yield case("defaults_4d", 3, (2, 6, 5, 5), explicit=False)
    yield case("eval_affine_3d_primes", 2, (3, 14, 5), EVAL, eps=1e-3)
    yield case("weight_5d", 2, (2, 4, 2, 3, 3), affine="weight")
    yield case("bias_3d", 4, (2, 12, 7), affine="bias")
    yield case("plain_4d_eps_0", 5, (2, 10, 3, 3), affine="", eps=0.0)
    yield case("affine_2d", 2, (5, 14))
    yield case("one_group_4d", 1, (3, 5, 4, 4))
    yield case("group_per_channel_3d", 7, (2, 7, 11))
    yield case("columns_63_3d", 2, (2, 6, 21))
    yield case("columns_65_pixel_4d", 2, (2, 130, 1, 1))
    yield case("offset_4d", 2, (2, 6, 5, 5), mean=150.0, std=1.5)


def layer_norm_cases():
    def case(name, normalized_shape, leading, training=TRAIN, **settings):
        settings["normalized_shape"] = normalized_shape
        return f"layer_norm_{name}", dict(op="layer_norm", shape=leading + normalized_shape, training=training, **settings)

    yield case("defaults_2d_64", (64,), (5,), explicit=False)
    yield case("eval_affine_3d_63", (63,), (3, 2), EVAL)
    yield case("weight_2d_65", (65,), (7,), affine="weight")
    yield case("bias_4d", (4, 5), (2, 7), affine="bias", eps=1e-3)
    yield case("plain_5d_eps_0", (3, 3, 4), (2, 3), affine="", eps=0.0)
    yield case("affine_4d_over_3", (3, 5, 7), (3,))
    yield case("affine_1d", (17,), ())
    yield case("affine_3d_3_columns", (3,), (13, 5), eps=1e-3)
    yield case("offset_2d", (97,), (5,), mean=150.0, std=1.5)
    yield channels_first_case("layer_norm")


def channels_first_case(op, **settings):
    return f"{op}_channels_first_4d", dict(op=op, shape=(2, 6, 3, 4), training=TRAIN, channels_first=True, normalized_shape=(6,),
                                           **settings)


def rms_norm_cases():
    def case(name, normalized_shape, leading, training=TRAIN, affine="weight", **settings):
        settings.update(normalized_shape=normalized_shape, affine=affine)
        return f"rms_norm_{name}", dict(op="rms_norm", shape=leading + normalized_shape, training=training, **settings)

    yield case("defaults_2d_64", (64,), (5,), explicit=False)
    yield case("eval_weight_3d_65", (65,), (2, 3), EVAL)
    yield case("plain_2d_63", (63,), (7,), affine="")
    yield case("weight_4d", (4, 5), (2, 7), eps=1e-3)
    yield case("plain_5d_eps_0", (3, 3, 4), (2, 3), affine="", eps=0.0)
    yield case("weight_2d_2_columns", (2,), (11,), eps=1e-3)
    yield case("offset_2d", (97,), (5,), mean=150.0, std=1.5)
    yield channels_first_case("rms_norm", affine="weight")


def block_case(name, op, shape, training=TRAIN, **settings):
    if op in ROWS:
        settings.setdefault("normalized_shape", (shape[1],) if settings.get("channels_first") else shape[-1:])
    if op == "rms_norm":
        settings.setdefault("affine", "weight")
    return f"{op}_{name}", dict(op=op, shape=shape, training=training, **settings)


def surrounded_cases():
    case = block_case
    for activation in list(ACTIVATIONS)[1:]:
        yield case(activation, "batch_norm", (3, 4, 5, 5), activation=activation)
    yield case("residual_relu", "batch_norm", (3, 4, 5, 5), residual=True, activation="relu")
    yield case("eval_residual_relu", "batch_norm", (3, 4, 5, 5), EVAL, residual=True, activation="relu")
    yield case("residual_leaky_relu", "instance_norm", (2, 3, 33), residual=True, activation="leaky_relu")
    yield case("silu", "group_norm", (2, 6, 5, 5), num_groups=3, activation="silu")
    yield case("residual_gelu", "group_norm", (2, 6, 5, 5), num_groups=3, residual=True, activation="gelu")
    yield case("residual", "layer_norm", (7, 96), residual=True)
    yield case("residual_offset", "layer_norm", (5, 97), residual=True, mean=150.0, std=1.5)
    yield case("residual", "rms_norm", (7, 96), residual=True)
    yield case("channels_last", "batch_norm", (3, 5, 5, 4), channels_last=True)
    yield case("eval_channels_last", "batch_norm", (3, 5, 5, 4), EVAL, channels_last=True)
    yield case("channels_last", "instance_norm", (2, 33, 3), channels_last=True)
    yield case("channels_last_silu", "group_norm", (2, 5, 5, 6), num_groups=3, channels_last=True, activation="silu")
    for dtype in ("float16", "bfloat16"):
        yield case(dtype, "batch_norm", (3, 4, 5, 5), dtype=dtype)
        yield case(dtype, "layer_norm", (7, 96), dtype=dtype)
        yield case(f"{dtype}_residual", "rms_norm", (7, 96), dtype=dtype, residual=True)
    yield case("bfloat16_channels_last_residual_relu", "batch_norm", (3, 5, 5, 4), dtype="bfloat16", residual=True,
               channels_last=True, activation="relu")

    for op in ROWS:
        yield case("channels_first_residual_gelu_3d", op, (2, 5, 7), channels_first=True, residual=True, activation="gelu")
        yield case("residual_both_gradients_silu", op, (3, 4, 8), residual=True, residual_gradient=True, activation="silu")
        yield case("per_sample_zero_centered", op, (3, 4, 8), per_sample=True, zero_centered_weight=True)
        yield case("zero_centered_2d", op, (5, 9), zero_centered_weight=True)
    yield case("per_sample_channels_first", "layer_norm", (2, 6, 3, 4), channels_first=True, per_sample=True)

    yield case("per_sample_relu", "batch_norm", (3, 4, 5), per_sample=True, activation="relu")
    yield case("eval_per_sample", "batch_norm", (3, 4, 5), EVAL, per_sample=True)
    yield case("per_sample_2d", "batch_norm", (7, 4), per_sample=True, affine="weight")
    yield case("per_sample", "instance_norm", (3, 4, 5, 2), per_sample=True, tracked=False)
    yield case("per_sample_channels_last_residual_tanh", "instance_norm", (3, 5, 2, 4), per_sample=True, tracked=False,
               channels_last=True, residual=True, activation="tanh")
    yield case("per_sample_zero_centered_silu", "group_norm", (3, 6, 5), num_groups=2, per_sample=True,
               zero_centered_weight=True, activation="silu")


def reference_cases():
    case = block_case
    yield case("lengths", "batch_norm", (4, 3, 7), lengths=(7, 1, 0, 4), length_axis=2)
    yield case("lengths_channels_last_residual_relu", "batch_norm", (3, 6, 4), lengths=(2, 6, 5), length_axis=1,
               channels_last=True, residual=True, activation="relu")
    yield case("eval_lengths_sigmoid", "batch_norm", (3, 4, 6), EVAL, lengths=(2, 6, 5), length_axis=2, activation="sigmoid")
    yield case("lengths_tracked", "instance_norm", (3, 4, 6), lengths=(2, 6, 5), length_axis=2)
    yield case("lengths_rows", "layer_norm", (3, 5, 8), lengths=(5, 0, 2), length_axis=1)
    yield case("lengths_in_rows", "layer_norm", (3, 4, 6), normalized_shape=(4, 6), lengths=(6, 1, 3), length_axis=2)
    yield case("lengths_in_rows_residual", "rms_norm", (3, 8), lengths=(8, 3, 5), length_axis=1, residual=True,
               residual_gradient=True)

    for op, shape, settings in (("layer_norm", (4, 9), {}), ("rms_norm", (4, 9), {}), ("batch_norm", (5, 3, 4), {}),
                                ("instance_norm", (2, 3, 6), {"tracked": False}), ("group_norm", (2, 6, 3), {"num_groups": 2})):
        yield case("double_backward", op, shape, double=True, **settings)
    yield case("double_backward_plain_eps_1", "layer_norm", (3, 2, 4), normalized_shape=(2, 4), affine="", eps=1.0, double=True)
    yield case("eval_double_backward", "batch_norm", (5, 3, 4), EVAL, double=True)
    yield case("double_backward_channels_first", "layer_norm", (2, 5, 3), channels_first=True, double=True)
    yield case("double_backward_lengths", "batch_norm", (3, 2, 6), lengths=(2, 6, 5), length_axis=2, double=True)

    yield case("ranks", "batch_norm", (7, 3, 5), ranks=(3, 0, 4), momentum=0.3)
    yield case("ranks_channels_last_residual_relu", "batch_norm", (5, 6, 4), ranks=(1, 4), channels_last=True, residual=True,
               activation="relu")
    yield case("virtual_batches", "batch_norm", (6, 3, 5), virtual_batch_size=2, momentum=0.3)
    yield case("virtual_batches_2d", "batch_norm", (9, 4), virtual_batch_size=3, momentum=None)


def build(name, op, shape, training, affine="weight,bias", tracked=True, backward=True, eps=1e-5, momentum=0.1,
          batches=4, num_groups=None, normalized_shape=None, mean=None, std=None, constant_channel=None, explicit=True,
          residual=False, activation="none", channels_last=False, dtype="float32", channels_first=False, per_sample=False,
          zero_centered_weight=False, lengths=None, length_axis=None, residual_gradient=False, double=False,
          ranks=None, virtual_batch_size=None):
    """The metadata and the tensors of a case. `explicit=False` leaves out every setting that has its default."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    mean = random.uniform(0.5, 3.0) if mean is None else mean
    std = random.uniform(1.0, 2.0) if std is None else std
    tensors = {"input": random.normal(mean, std, shape)}
    if constant_channel is not None:
        tensors["input"][:, constant_channel] = 1.5
    parameter_shape = normalized_shape or (shape[-1 if channels_last else 1],)
    affine_shape = (shape[0], *parameter_shape) if per_sample else parameter_shape
    if "weight" in affine:
        tensors["weight"] = random.normal(0.0 if zero_centered_weight else 1.0, 0.5, affine_shape)
    if "bias" in affine:
        tensors["bias"] = random.normal(0.0, 1.0, affine_shape)
    if tracked and op in RUNNING:
        tensors["running_mean"] = random.normal(mean, std, parameter_shape)
        tensors["running_var"] = std**2 * random.uniform(0.5, 1.5, parameter_shape)
    if backward:
        tensors["grad_output"] = random.normal(0.2, 1.0, shape)
    if residual:
        tensors["residual"] = random.normal(-0.5, 1.0, shape)
    if residual_gradient:
        tensors["grad_residual_output"] = random.normal(0.1, 1.0, shape)
    if double:
        tensors["grad_grad_input"] = random.normal(-0.3, 1.0, shape)
    tensors = {key: torch.from_numpy(value.astype(np.float32)) for key, value in tensors.items()}
    for key in {"input", "residual", "grad_output"} & tensors.keys():
        tensors[key] = tensors[key].to(getattr(torch, dtype))
    if "running_mean" in tensors:
        tensors["num_batches_tracked"] = torch.tensor(batches)

    settings = {"eps": eps, "training": training}
    if op in RUNNING:
        settings["momentum"] = momentum
    if not explicit:
        settings = {key: value for key, value in settings.items() if value != DEFAULTS[key]}
    metadata = {"op": op} | {key: str(value).lower() for key, value in settings.items()}
    if num_groups is not None:
        metadata["num_groups"] = str(num_groups)
    if normalized_shape is not None:
        metadata["normalized_shape"] = ",".join(map(str, normalized_shape))
    if activation != "none":
        metadata["activation"] = activation
    if channels_last:
        metadata["channels_last"] = "true"
    if lengths is not None:
        tensors["lengths"] = torch.tensor(lengths)
        metadata["length_axis"] = str(length_axis)
    if ranks is not None:
        metadata["ranks"] = ",".join(map(str, ranks))
    if virtual_batch_size is not None:
        metadata["virtual_batch_size"] = str(virtual_batch_size)
    flags = {"channels_first": channels_first, "per_sample": per_sample, "zero_centered_weight": zero_centered_weight}
    metadata |= {key: "true" for key, value in flags.items() if value}
    settings |= flags | {"length_axis": length_axis, "virtual_batch_size": virtual_batch_size}
    settings |= {"num_groups": num_groups, "normalized_shape": normalized_shape}
    return metadata, tensors, settings | {"activation": activation, "channels_last": channels_last}


def block(op, settings, t):
    """The output with all that may surround the norm; `residual_output` of `t` is set where there is one."""
    activation = ACTIVATIONS[settings["activation"]]
    source, target = 0, 0  # where the channels are, and where PyTorch has them
    if settings["channels_last"]:
        source, target = -1, 1
    if settings["channels_first"]:
        source, target = 1, -1
    t = t | {"input": t["input"]}
    if "residual" in t and op in ROWS:
        t["input"] = t["input"] + t["residual"]
    outer = t["input"]
    t["input"] = outer.movedim(source, target)
    way = ragged if "lengths" in t else ghost if settings["virtual_batch_size"] else affine
    output = way(op, settings, t).movedim(target, source)
    if "residual" in t and op not in ROWS:
        output = output + t["residual"]
    output = activation(output)
    if "lengths" in t:
        axis = settings["length_axis"]
        position = torch.arange(output.shape[axis]).view([-1 if k == axis else 1 for k in range(output.dim())])
        valid = position < t["lengths"].view(-1, *[1] * (output.dim() - 1))
        output, outer = output * valid, outer * valid
    return output, outer


def affine(op, settings, t):
    """The norm with a weight of each sample or one stored as its distance from 1, by what PyTorch has."""
    t = dict(t)
    if settings["zero_centered_weight"]:
        t["weight"] = 1 + t["weight"]
    if not settings["per_sample"]:
        return normalize(op, settings, t)
    x = normalize(op, settings, {key: value for key, value in t.items() if key not in ("weight", "bias")})
    ones = [1] * (x.dim() - 2)  # [N, C] becomes [N, C, 1, ...], and for rows [N, 1, ..., D]
    shape = (x.shape[0], *ones, x.shape[-1]) if op in ROWS else (*x.shape[:2], *ones)
    for key, function in (("weight", torch.mul), ("bias", torch.add)):
        if key in t:
            x = function(x, t[key].view(shape))
    return x


def ghost(op, settings, t):
    """Batch norm of each virtual batch; the running statistics, linear in the batch's, are the average of what each would leave."""
    outputs, running = [], {"running_mean": [], "running_var": []}
    for part in t["input"].split(settings["virtual_batch_size"]):
        own = t | {"input": part} | {key: t[key].clone() for key in running}
        outputs.append(affine(op, settings, own))
        for key, values in running.items():
            values.append(own[key])
    for key, values in running.items():
        t[key].copy_(torch.stack(values).mean(0))
    return torch.cat(outputs)


def ragged(op, settings, t):
    """The norm of samples that end after `lengths`, by norms of tensors without padding; 0 behind the end."""
    x, lengths = t["input"], t["lengths"].tolist()
    axis = settings["length_axis"]
    if settings["channels_last"]:  # x is [N, C, ...] here
        axis += 1
    if settings["training"] and op == "batch_norm":  # all points of all samples, one after the other
        valid = torch.cat([sample.narrow(axis - 1, 0, length) for sample, length in zip(x, lengths)], axis - 1)
        normalized = affine(op, settings, t | {"input": valid.transpose(0, 1)}).transpose(0, 1)
        pieces = normalized.split(lengths, axis - 1)
    else:  # every sample for itself
        pieces, running = [], [[], []]
        for sample, length in zip(x, lengths):
            own = dict(t)
            for key in ("running_mean", "running_var"):
                if key in t:
                    own[key] = t[key].clone()
            own["input"] = sample.narrow(axis - 1, 0, length).unsqueeze(0)
            within = dict(settings)
            dimension = axis - x.dim() + len(settings["normalized_shape"] or ())
            if op in ROWS and dimension >= 0:  # the rows themselves are cut
                sizes = list(settings["normalized_shape"])
                sizes[dimension] = length
                within["normalized_shape"] = sizes
                own |= {key: t[key].narrow(dimension, 0, length) for key in ("weight", "bias") if key in t}
            pieces.append(affine(op, within, own)[0] if length else own["input"][0])
            for values, key in zip(running, ("running_mean", "running_var")):
                values.append(own.get(key))
        for values, key in zip(running, ("running_mean", "running_var")):
            if key in t:  # linear in the batch's statistics, whose average over the samples it takes
                t[key].copy_(torch.stack(values).mean(0))
    padded = []
    for piece in pieces:
        rest = list(piece.shape)
        rest[axis - 1] = x.shape[axis] - rest[axis - 1]
        padded.append(torch.cat([piece, piece.new_zeros(rest)], axis - 1))
    return torch.stack(padded)


def normalize(op, settings, t):
    """The output, in PyTorch; updates the running statistics of `t` in place as the modules of torch.nn do."""
    settings = DEFAULTS | settings
    weight, bias, eps = t.get("weight"), t.get("bias"), settings["eps"]
    if op == "layer_norm":
        return F.layer_norm(t["input"], settings["normalized_shape"], weight, bias, eps)
    if op == "rms_norm":
        return F.rms_norm(t["input"], settings["normalized_shape"], weight, eps)
    if op == "group_norm":
        return F.group_norm(t["input"], settings["num_groups"], weight, bias, eps)
    running_mean, running_var = t.get("running_mean"), t.get("running_var")
    batch_statistics = settings["training"] or running_mean is None
    factor = settings["momentum"]
    if factor is None:  # the cumulative average of torch.nn.BatchNorm*d: the count goes up first
        factor = 1.0 / (t["num_batches_tracked"].item() + 1)
    if op == "batch_norm" and eps == 0.0:  # torch.nn.functional refuses it in training, the function below it does not
        return torch.batch_norm(t["input"], weight, bias, running_mean, running_var, batch_statistics, factor, eps, False)
    function = F.batch_norm if op == "batch_norm" else F.instance_norm
    return function(t["input"], running_mean, running_var, weight, bias, batch_statistics, factor, eps)


def expectations(op, settings, tensors):
    """What PyTorch makes of the tensors in f64: output, running statistics and gradients."""
    t = {key: value.to(torch.float64, copy=True) if key != "lengths" else value for key, value in tensors.items()}
    leaves = [key for key in ("input", "weight", "bias", "residual") if key in t]
    for key in leaves:
        t[key].requires_grad_()
    output, residual_output = block(op, settings, t)
    expected = {"output": output}
    expected |= {key: t[key] for key in ("running_mean", "running_var") if key in t}
    if "residual" in t and op in ROWS:
        expected["residual_output"] = residual_output
    if "grad_output" in t:
        double = "grad_grad_input" in t
        t["grad_output"].requires_grad_(double)
        outputs, grads = [output], [t["grad_output"]]
        if "grad_residual_output" in t:
            outputs, grads = outputs + [residual_output], grads + [t["grad_residual_output"]]
        gradients = torch.autograd.grad(outputs, [t[key] for key in leaves], grads, create_graph=double)
        expected |= {f"grad_{key}": gradient for key, gradient in zip(leaves, gradients)}
        if double:
            names = {"double_grad_input": "input", "double_grad_weight": "weight", "grad_grad_output": "grad_output"}
            names = {name: t[key] for name, key in names.items() if key in t}
            gradients = torch.autograd.grad(expected["grad_input"], list(names.values()), t["grad_grad_input"],
                                            materialize_grads=True)
            expected |= dict(zip(names, gradients))
    return {f"expected.{key}": value.detach().contiguous().clone() for key, value in expected.items()}


def safetensors_bytes(tensors, metadata):
    """The content of the file, the same every time: the library itself writes the metadata in random order."""
    content = save(tensors, metadata)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    return content[:8] + text + content[8 + length:]


def write(folder, cases):
    folder.mkdir(parents=True, exist_ok=True)
    count = size = 0
    for name, case in cases:
        metadata, tensors, settings = build(name, **case)
        tensors |= expectations(case["op"], settings, tensors)
        path = folder / f"{name}.safetensors"
        path.write_bytes(safetensors_bytes(tensors, metadata))
        count, size = count + 1, size + path.stat().st_size
    print(f"{count} cases, {size} bytes in {folder}")


def main():
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "tests" / "cases"
    torch.set_num_threads(1)  # one order of summation: the same file every time
    write(folder, cases())
    write(folder / "surrounded", surrounded_cases())
    write(folder / "reference", reference_cases())


if __name__ == "__main__":
    main()
