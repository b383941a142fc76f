"""The image tokenizers of Open-MAGVIT2 (TencentARC/SEED-Voken, src/Open_MAGVIT2/modules:
diffusionmodules/improved_model.py and vqvae/lookup_free_quantize.py).

python magvit2.py FOLDER writes magvit2-256 and magvit2-128, .json and .safetensors. The first has the averaged weights
that inference uses, the second has none but a part of the loss."""

import torch
import torch.nn.functional as F
from torch import nn

import fixture
import generator


def conv(inputs, outputs, kernel=3, bias=True, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1, self.conv2 = conv(inputs, outputs, bias=False), conv(outputs, outputs, bias=False)
        if inputs != outputs:
            self.nin_shortcut = conv(inputs, outputs, 1, bias=False)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


def blocks(inputs, outputs, count):
    return nn.ModuleList(Residual(inputs if index == 0 else outputs, outputs) for index in range(count))


def run(modules, x):
    for module in modules:
        x = module(x)
    return x


class DownLevel(nn.Module):
    def __init__(self, inputs, outputs, count, last):
        super().__init__()
        self.block = blocks(inputs, outputs, count)
        if not last:
            self.downsample = conv(outputs, outputs, stride=2)


class Encoder(nn.Module):
    def __init__(self, widths, count, z):
        super().__init__()
        self.conv_in = conv(3, widths[0], bias=False)
        before = [widths[0], *widths]
        last = len(widths) - 1
        self.down = nn.ModuleList(DownLevel(before[i], width, count, i == last) for i, width in enumerate(widths))
        self.mid_block = blocks(widths[-1], widths[-1], count)
        self.norm_out, self.conv_out = norm(widths[-1]), conv(widths[-1], z, 1)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            x = run(level.block, x)
            if hasattr(level, "downsample"):
                x = level.downsample(x)
        return self.conv_out(F.silu(self.norm_out(run(self.mid_block, x))))


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = conv(channels, 4 * channels)

    def forward(self, x):
        x = self.conv1(x)
        b, c, h, w = x.shape
        # The channel counts rows first, then columns, then the channels that are left.
        x = x.view(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(b, c // 4, 2 * h, 2 * w)


class UpLevel(nn.Module):
    def __init__(self, inputs, outputs, count, first):
        super().__init__()
        self.block = blocks(inputs, outputs, count)
        if not first:
            self.upsample = Upsample(outputs)


class Adaptive(nn.Module):
    """Group normalisation whose scale and shift come from the codes of the whole picture."""

    def __init__(self, z, channels):
        super().__init__()
        self.gamma, self.beta = nn.Linear(z, channels), nn.Linear(z, channels)

    def forward(self, x, codes):
        codes = codes.flatten(2)
        deviation = (codes.var(dim=2, unbiased=True) + 1e-6).sqrt()
        scale, shift = self.gamma(deviation), self.beta(codes.mean(dim=2))
        return scale[:, :, None, None] * F.group_norm(x, 32, eps=1e-6) + shift[:, :, None, None]


class Decoder(nn.Module):
    def __init__(self, widths, count, z):
        super().__init__()
        self.conv_in = conv(z, widths[-1])
        self.mid_block = blocks(widths[-1], widths[-1], count)
        before = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(UpLevel(before[i], width, count, i == 0) for i, width in enumerate(widths))
        self.adaptive = nn.ModuleList(Adaptive(z, width) for width in before)
        self.norm_out, self.conv_out = norm(widths[0]), conv(widths[0], 3)

    def forward(self, codes):
        x = run(self.mid_block, self.conv_in(codes))
        for level, adaptive in zip(reversed(self.up), reversed(self.adaptive)):
            x = run(level.block, adaptive(x, codes))
            if hasattr(level, "upsample"):
                x = level.upsample(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class OpenMagvit2(nn.Module):
    def __init__(self, multipliers):
        super().__init__()
        widths = [128 * multiplier for multiplier in multipliers]
        self.encoder, self.decoder = Encoder(widths, 4, 18), Decoder(widths, 4, 18)


# Averaged weights have no ".weight" at the end of their names: the generator takes the scales of norms for biases.
AVERAGED_SCALE = {"norm1weight": 10.0, "norm2weight": 10.0, "norm_outweight": 10.0}

# Keeps all values before quantisation away from 0.
PLAIN_SCALE = {"encoder.conv_out.bias": 0.7}


def averaged(name):
    """Where the averaged copy of a parameter is."""
    return "model_ema." + name.replace(".", "")


def averages(network):
    """What the published file for 256×256 pictures holds after the tensors of the network: by its size, 921 MB, each of
    them once more, averaged over the training."""
    return fixture.listing(network, averaged)


def loss(_):
    """A part of what a file written in training holds besides."""
    layer = "loss.discriminator.main.0"
    return [[f"{layer}.weight", [64, 3, 4, 4], "float32"], [f"{layer}.bias", [64], "float32"]]


@torch.no_grad()
def make(out, name, multipliers, scale, key, more):
    network = fixture.fill(OpenMagvit2(multipliers), scale, key)
    pixels = generator.picture(64)
    vectors = network.encoder(torch.from_numpy(pixels))
    print("smallest margin", vectors.abs().min().item())
    codes = torch.where(vectors > 0, 1.0, -1.0)
    bits = (codes > 0).long() << torch.arange(18).view(1, 18, 1, 1)
    reconstruction = network.decoder(codes)
    fixture.report(name, vectors=vectors, reconstruction=reconstruction)
    fixture.write_json(out / f"{name}.json", fixture.listing(network) + more(network), "state_dict", scale)
    fixture.write_safetensors(
        out / f"{name}.safetensors",
        {
            "input": pixels,
            "vectors": vectors.numpy(),
            "indices": bits.sum(dim=1).int().numpy(),
            "reconstruction": reconstruction.numpy(),
        },
    )


if __name__ == "__main__":
    make(fixture.folder(), "magvit2-256", [1, 1, 2, 2, 4], AVERAGED_SCALE, averaged, averages)
    make(fixture.folder(), "magvit2-128", [1, 2, 2, 4], PLAIN_SCALE, lambda name: name, loss)
