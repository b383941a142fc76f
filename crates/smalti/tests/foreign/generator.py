"""Weights and a picture that come from formulas, so that a published checkpoint of full size can be tested with files
of a few kilobytes. `harness.rs` computes the same values, bit for bit.

Element i (row-major) of the tensor called KEY: splitmix64 of fnv1a64(KEY) + i · 0x9E3779B97F4A7C15, its upper 24 bits
as v in [-1, 1). Tensors of two or more axes hold v · sqrt(3 / fan-in), which keeps the variance of activations; one
axis: 1 + 0.1 v where KEY ends in `.weight`, 0.1 v elsewhere; no axis, and whole numbers: 0. The table `scale`
multiplies the tensors whose key contains one of its entries."""

import math

import numpy as np


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def uniform(key, count):
    """`count` values in [-1, 1), f64."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(key)) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return 2.0 * ((z >> np.uint64(40)).astype(np.float64) / 2.0**24) - 1.0


def tensor(key, shape, dtype="float32", scale=None):
    """The tensor of that key as f32, or as zeros of a type of whole numbers."""
    if dtype != "float32" or not shape:
        return np.zeros(shape, dtype=dtype)
    values = uniform(key, math.prod(shape))
    if len(shape) > 1:
        values *= math.sqrt(3.0 / math.prod(shape[1:]))
    elif key.endswith(".weight"):
        values = 1.0 + 0.1 * values
    else:
        values *= 0.1
    for part, factor in (scale or {}).items():
        if part in key:
            values *= factor
    return values.astype(np.float32).reshape(shape)


def picture(side=64):
    """`[1, 3, side, side]` in [-1, 1], every value one of 256."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(side), np.arange(side), indexing="ij")
    levels = (x * 7 + y * 13 + c * 29 + (x * y) % 31 * 5) % 256
    return (levels / 127.5 - 1.0).astype(np.float32)[None]
