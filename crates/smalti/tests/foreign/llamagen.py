"""LlamaGen's tokenizers VQ-8 and VQ-16 (tokenizer/tokenizer_image/vq_model.py): the paper's network under other names,
with a codebook of unit vectors of 8 dimensions."""

import torch
from torch import nn
from torch.nn import functional as F

from blocks import Attention, Down, Residual, Up, norm, widths
from quantizers import Codebook
from taming import F16, Tokenizer


class Level(nn.Module):
    def __init__(self, inputs, outputs, count, attention, name=None, resample=None):
        super().__init__()
        self.res = nn.ModuleList([Residual(inputs if i == 0 else outputs, outputs) for i in range(count)])
        self.attn = nn.ModuleList([Attention(outputs) for _ in range(count if attention else 0)])
        self.resample = name
        if name:
            self.add_module(name, resample(outputs))

    def forward(self, x):
        for i, residual in enumerate(self.res):
            x = residual(x)
            if len(self.attn):
                x = self.attn[i](x)
        return getattr(self, self.resample)(x) if self.resample else x


def middle(width):
    return nn.ModuleList([Residual(width, width), Attention(width), Residual(width, width)])


class Encoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, last = widths(shape), len(shape["multipliers"]) - 1
        self.conv_in = nn.Conv2d(3, shape["channels"], 3, padding=1)
        self.conv_blocks = nn.ModuleList(
            Level(
                width[max(level - 1, 0)],
                width[level],
                shape["blocks"],
                level == last,
                "downsample" if level < last else None,
                Down,
            )
            for level in range(last + 1)
        )
        self.mid = middle(width[last])
        self.norm_out = norm(width[last])
        self.conv_out = nn.Conv2d(width[last], shape["z"], 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for part in [*self.conv_blocks, *self.mid]:
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Decoder(nn.Module):
    """`conv_blocks.0` is the lowest resolution."""

    def __init__(self, shape):
        super().__init__()
        width, last = widths(shape), len(shape["multipliers"]) - 1
        self.conv_in = nn.Conv2d(shape["z"], width[last], 3, padding=1)
        self.mid = middle(width[last])
        self.conv_blocks = nn.ModuleList(
            Level(
                width[min(level + 1, last)],
                width[level],
                shape["blocks"] + 1,
                level == last,
                "upsample" if level else None,
                Up,
            )
            for level in reversed(range(last + 1))
        )
        self.norm_out = norm(width[0])
        self.conv_out = nn.Conv2d(width[0], 3, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for part in [*self.mid, *self.conv_blocks]:
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))


def tokenizer(shape):
    codebook = Codebook(shape["codes"], shape["dimension"], "l2")
    codebook.register_buffer("codebook_used", torch.zeros(65536))
    return Tokenizer(shape, codebook, Encoder, Decoder)


VQ_16 = {**F16, "dimension": 8, "codes": 16384}
VQ_8 = {**VQ_16, "multipliers": [1, 2, 2, 4], "attention": [3]}
