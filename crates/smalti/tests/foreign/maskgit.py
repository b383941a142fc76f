"""The tokenizer of MaskGIT as its PyTorch port has it (bytedance/1d-tokenizer, modeling/modules/maskgit_vqgan.py).

python maskgit.py FOLDER writes maskgit.json and maskgit.safetensors."""

import torch
import torch.nn.functional as F
from torch import nn

import fixture
import generator


def conv(inputs, outputs, kernel=3, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), conv(inputs, outputs)
        self.norm2, self.conv2 = norm(outputs), conv(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = conv(outputs, outputs, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        # The port reads the block's own output here, not its input, and its weights were made for that.
        return h + (self.nin_shortcut(h) if hasattr(self, "nin_shortcut") else x)


def blocks(inputs, outputs, count):
    return nn.ModuleList(Residual(inputs if index == 0 else outputs, outputs) for index in range(count))


class Level(nn.Module):
    def __init__(self, inputs, outputs, count, upsample):
        super().__init__()
        self.block = blocks(inputs, outputs, count)
        if upsample:
            self.upsample_conv = conv(outputs, outputs, bias=True)

    def forward(self, x):
        for block in self.block:
            x = block(x)
        return x


class Encoder(nn.Module):
    def __init__(self, widths, count, z):
        super().__init__()
        self.conv_in = conv(3, widths[0])
        before = [widths[0], *widths]
        self.down = nn.ModuleList(Level(before[i], width, count, False) for i, width in enumerate(widths))
        self.mid = blocks(widths[-1], widths[-1], count)
        self.norm_out, self.conv_out = norm(widths[-1]), conv(widths[-1], z, 1, bias=True)

    def forward(self, x):
        x = self.conv_in(x)
        for index, level in enumerate(self.down):
            x = level(x)
            if index + 1 < len(self.down):
                x = F.avg_pool2d(x, 2, 2)
        for block in self.mid:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Decoder(nn.Module):
    def __init__(self, widths, count, z):
        super().__init__()
        self.conv_in = conv(z, widths[-1], bias=True)
        self.mid = blocks(widths[-1], widths[-1], count)
        before = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(Level(before[i], width, count, i > 0) for i, width in enumerate(widths))
        self.norm_out, self.conv_out = norm(widths[0]), conv(widths[0], 3, bias=True)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.mid:
            x = block(x)
        for level in reversed(self.up):
            x = level(x)
            if hasattr(level, "upsample_conv"):
                x = level.upsample_conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))


class Quantize(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.embedding = nn.Embedding(size, width)


# Keeps the pictures within about [-2, 2].
SCALE = {"decoder.conv_out": 0.4}


class MaskGit(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [128, 128, 256, 256, 512]
        self.encoder, self.decoder = Encoder(widths, 2, 256), Decoder(widths, 2, 256)
        self.quantize = Quantize(1024, 256)


@torch.no_grad()
def make(out):
    network = fixture.fill(MaskGit(), SCALE)
    pixels = generator.picture(64)
    vectors = network.encoder(torch.from_numpy(pixels) * 0.5 + 0.5)
    codebook = network.quantize.embedding.weight
    distances = torch.cdist(vectors.double().permute(0, 2, 3, 1).flatten(0, 2), codebook.double()).square()
    nearest = distances.topk(2, largest=False)
    print("smallest margin", (nearest.values[:, 1] - nearest.values[:, 0]).min().item())
    _, _, height, width = vectors.shape
    indices = nearest.indices[:, 0].view(1, height, width)
    # The port's pictures are in [0, 1], those of the fixture in [-1, 1].
    reconstruction = network.decoder(codebook[indices].permute(0, 3, 1, 2)) * 2.0 - 1.0
    fixture.report("maskgit", vectors=vectors, reconstruction=reconstruction)
    fixture.write_json(out / "maskgit.json", fixture.listing(network), "", SCALE)
    fixture.write_safetensors(
        out / "maskgit.safetensors",
        {
            "input": pixels,
            "vectors": vectors.numpy(),
            "indices": indices.int().numpy(),
            "reconstruction": reconstruction.numpy(),
        },
    )


if __name__ == "__main__":
    make(fixture.folder())
