"""The layers that all networks of the paper's shape are made of, under each family's names of the parameters."""

import torch
from torch import nn
from torch.nn import functional as F


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class Residual(nn.Module):
    """norm, SiLU, 3×3 convolution, twice, beside a skip connection."""

    def __init__(self, inputs, outputs, shortcut="nin_shortcut"):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = shortcut if inputs != outputs else None
        if self.shortcut:
            self.add_module(shortcut, nn.Conv2d(inputs, outputs, 1))

    def forward(self, x):
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return (getattr(self, self.shortcut)(x) if self.shortcut else x) + hidden


# Names of: norm, query, key, value, output.
CONVOLUTIONS = ("norm", "q", "k", "v", "proj_out")
OLD_LINEAR = ("group_norm", "query", "key", "value", "proj_attn")
NEW_LINEAR = ("group_norm", "to_q", "to_k", "to_v", "to_out")


class Attention(nn.Module):
    """One head over all positions. The projections are 1×1 convolutions with the authors, linear in diffusers."""

    def __init__(self, channels, names=CONVOLUTIONS):
        super().__init__()
        self.names = names
        self.add_module(names[0], norm(channels))
        for name in names[1:]:
            layer = nn.Conv2d(channels, channels, 1) if names == CONVOLUTIONS else nn.Linear(channels, channels)
            self.add_module(name, nn.ModuleList([layer]) if name == "to_out" else layer)

    def project(self, index, x):
        layer = getattr(self, self.names[index])
        layer = layer[0] if isinstance(layer, nn.ModuleList) else layer
        if isinstance(layer, nn.Linear):
            return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return layer(x)

    def forward(self, x):
        batch, channels, height, width = x.shape
        normalized = getattr(self, self.names[0])(x)
        q, k, v = (self.project(index, normalized).flatten(2) for index in (1, 2, 3))
        weights = torch.softmax(q.transpose(1, 2) @ k * channels**-0.5, dim=2)
        attended = (v @ weights.transpose(1, 2)).reshape(batch, channels, height, width)
        return x + self.project(4, attended)


class Down(nn.Module):
    """A 3×3 convolution of stride 2, padded to the right and below."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    """Nearest neighbour, then a 3×3 convolution."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def widths(shape):
    return [shape["channels"] * multiplier for multiplier in shape["multipliers"]]
