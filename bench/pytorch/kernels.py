"""Single operations in PyTorch: what the networks spend their time in, at the shapes they have it.

    python kernels.py [--threads N] [--seconds 1]

Prints medians in ms and GFLOP/s, f32 and bf16, everything channels-last. The backward pass of a convolution or matrix product
counts as twice the forward's operations.
"""

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F


@dataclass
class Kernel:
    name: str
    flops: float  # of the forward pass; 0 where memory is what counts
    shapes: list  # of the input and the parameters, all of which get gradients
    forward: Callable


def convolution(batch, inputs, outputs, size):
    return Kernel(
        f"conv 3x3 {batch}x{inputs}->{outputs} at {size}²",
        2 * batch * inputs * outputs * 9 * size * size,
        [(batch, inputs, size, size), (outputs, inputs, 3, 3), (outputs,)],
        lambda x, weight, bias: F.conv2d(x, weight, bias, padding=1),
    )


KERNELS = [
    convolution(1, 128, 128, 256),
    convolution(1, 256, 256, 64),
    convolution(4, 512, 512, 16),
    convolution(1, 128, 3, 256),
    Kernel(
        "GroupNorm + SiLU 128 at 256²",
        0,
        [(1, 128, 256, 256), (128,), (128,)],
        lambda x, weight, bias: F.silu(F.group_norm(x, 32, weight, bias, eps=1e-6)),
    ),
    Kernel(
        "linear 256x1024x4096",
        2 * 256 * 1024 * 4096,
        [(256, 1024), (4096, 1024), (4096,)],
        F.linear,
    ),
    Kernel("matmul 4096³", 2 * 4096**3, [(4096, 4096), (4096, 4096)], torch.matmul),
]


def tensor(shape, dtype):
    values = torch.randn(shape, dtype=dtype)
    return values.to(memory_format=torch.channels_last) if len(shape) == 4 else values


def median_ms(run, seconds):
    """Of as many repetitions as fit into `seconds`, at least 3, after 2 that do not count."""
    for _ in range(2):
        run()
    times = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def measure(kernel, dtype, seconds):
    """(forward ms, forward+backward ms)"""
    operands = [tensor(shape, dtype) for shape in kernel.shapes]
    with torch.inference_mode():
        forward = median_ms(lambda: kernel.forward(*operands), seconds)
    for operand in operands:
        operand.requires_grad_(True)
    gradient = torch.ones_like(kernel.forward(*operands))
    both = median_ms(lambda: torch.autograd.grad(kernel.forward(*operands), operands, gradient), seconds)
    return forward, both


def rate(flops, ms):
    return f"{flops / ms / 1e6:8.0f}" if flops else "       -"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1.0, help="of repetitions for each figure")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}, {given.threads} threads, {torch.backends.cpu.get_cpu_capability()}, channels-last")
    print(f"{'':34}        forward      forward+backward")
    print(f"{'kernel':29} {'':4} {'ms':>8} {'GFLOP/s':>8} {'ms':>9} {'GFLOP/s':>8}")
    for kernel in KERNELS:
        for label, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
            forward, both = measure(kernel, dtype, given.seconds)
            speeds = rate(kernel.flops, forward), rate(3 * kernel.flops, both)
            print(f"{kernel.name:29} {label:4} {forward:8.2f} {speeds[0]} {both:9.2f} {speeds[1]}", flush=True)


if __name__ == "__main__":
    main()
