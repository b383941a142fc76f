"""The networks of "Taming Transformers" in PyTorch: the other side of the benchmark, with random weights.

VQGAN (encoder, quantiser, decoder), LPIPS over VGG16, PatchGAN discriminator, GPT with a KV cache. `explicit=True` computes as
the authors' code does: attention by its matrix, x * sigmoid(x), a cache that grows by concatenation, the full distance matrix.
Otherwise each operation is the fastest that PyTorch has for the same formula.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


# ---------------------------------------------------------------------------------------------------------------- VQGAN


@dataclass(frozen=True)
class VqganConfig:
    """The defaults are the f16 ImageNet network with 16384 codes: 76.07 M parameters."""

    channels: int = 128
    multipliers: tuple = (1, 1, 2, 2, 4)
    blocks: int = 2
    attention_resolution: int = 16
    nominal_resolution: int = 256  # decides at which level attention sits, whatever the size of the picture
    latent: int = 256
    codes: int = 16384

    @property
    def widths(self):
        return [self.channels * multiplier for multiplier in self.multipliers]

    def attends(self, level):
        return self.nominal_resolution // 2**level == self.attention_resolution


TINY_VQGAN = VqganConfig(channels=32, multipliers=(1, 1, 1, 1, 2), blocks=1, latent=32, codes=64)


class NormSwish(nn.Module):
    def __init__(self, channels, explicit):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.explicit = explicit

    def forward(self, x):
        x = self.norm(x)
        if self.explicit:
            return x * torch.sigmoid(x)
        # The norm's output is ours to overwrite, unless the backward pass needs it.
        return F.silu(x, inplace=not torch.is_grad_enabled())


class ResnetBlock(nn.Module):
    def __init__(self, inputs, outputs, explicit):
        super().__init__()
        self.norm1 = NormSwish(inputs, explicit)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = NormSwish(outputs, explicit)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + self.conv2(self.norm2(self.conv1(self.norm1(x))))


class AttentionBlock(nn.Module):
    """One head over all positions of the map."""

    def __init__(self, channels, explicit):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.query, self.key, self.value, self.project = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.explicit = explicit

    def forward(self, x):
        h = self.norm(x)
        query, key, value = self.query(h), self.key(h), self.value(h)
        attend = self.by_matrix if self.explicit else self.by_fused_kernel
        return x + self.project(attend(query, key, value))

    @staticmethod
    def by_matrix(query, key, value):
        b, c, h, w = query.shape
        query = query.reshape(b, c, h * w).permute(0, 2, 1)
        scores = torch.bmm(query, key.reshape(b, c, h * w)) * c**-0.5
        weights = torch.softmax(scores, dim=2).permute(0, 2, 1)
        return torch.bmm(value.reshape(b, c, h * w), weights).reshape(b, c, h, w)

    @staticmethod
    def by_fused_kernel(query, key, value):
        b, c, h, w = query.shape
        rows = [tensor.flatten(2).transpose(1, 2).unsqueeze(1) for tensor in (query, key, value)]
        attended = F.scaled_dot_product_attention(*rows)
        return attended.squeeze(1).transpose(1, 2).reshape(b, c, h, w)


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # right and bottom only


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def level(inputs, outputs, blocks, attends, explicit):
    """Residual blocks, each followed by attention where the level has it."""
    layers = []
    for index in range(blocks):
        layers.append(ResnetBlock(inputs if index == 0 else outputs, outputs, explicit))
        if attends:
            layers.append(AttentionBlock(outputs, explicit))
    return layers


def middle(channels, explicit):
    return [
        ResnetBlock(channels, channels, explicit),
        AttentionBlock(channels, explicit),
        ResnetBlock(channels, channels, explicit),
    ]


class Encoder(nn.Sequential):
    def __init__(self, config, explicit):
        widths = config.widths
        layers = [nn.Conv2d(3, config.channels, 3, padding=1)]
        inputs = config.channels
        for index, width in enumerate(widths):
            layers += level(inputs, width, config.blocks, config.attends(index), explicit)
            if index + 1 < len(widths):
                layers.append(Downsample(width))
            inputs = width
        layers += middle(inputs, explicit)
        layers += [NormSwish(inputs, explicit), nn.Conv2d(inputs, config.latent, 3, padding=1)]
        super().__init__(*layers)


class Decoder(nn.Module):
    """`trunk` is all but the last convolution, whose weight the adaptive weight of the GAN loss is computed at."""

    def __init__(self, config, explicit):
        super().__init__()
        widths = config.widths
        inputs = widths[-1]
        layers = [nn.Conv2d(config.latent, inputs, 3, padding=1)] + middle(inputs, explicit)
        for index in reversed(range(len(widths))):
            layers += level(inputs, widths[index], config.blocks + 1, config.attends(index), explicit)
            if index > 0:
                layers.append(Upsample(widths[index]))
            inputs = widths[index]
        layers.append(NormSwish(inputs, explicit))
        self.trunk = nn.Sequential(*layers)
        self.conv_out = nn.Conv2d(inputs, 3, 3, padding=1)

    def forward(self, z):
        return self.conv_out(self.trunk(z))


class Quantizer(nn.Module):
    """The nearest codebook entry, with the authors' (`legacy`) weighting of the two halves of the loss."""

    def __init__(self, codes, width, explicit):
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)
        self.explicit = explicit

    def nearest(self, rows):
        # Always f32: neighbouring entries differ by less than bf16 resolves.
        with torch.autocast("cpu", enabled=False):
            rows, entries = rows.float(), self.embedding.weight.float()
            lengths = entries.square().sum(1)
            if self.explicit:
                distances = rows.square().sum(1, keepdim=True) + lengths - 2 * (rows @ entries.T)
            else:  # |z|² is the same for every entry of a row
                distances = torch.addmm(lengths, rows, entries.T, alpha=-2)
            return distances.argmin(1)

    def codes(self, z):
        b, c, h, w = z.shape
        return self.nearest(z.permute(0, 2, 3, 1).reshape(-1, c)).reshape(b, h, w)

    def vectors(self, codes):
        return self.embedding(codes).permute(0, 3, 1, 2).contiguous()

    def forward(self, z):
        """Quantised z with the gradient passed straight through, and the loss."""
        with torch.no_grad():
            codes = self.codes(z)
        quantised = self.vectors(codes)
        loss = (quantised.detach() - z).square().mean() + 0.25 * (quantised - z.detach()).square().mean()
        return z + (quantised - z).detach(), loss


class Vqgan(nn.Module):
    def __init__(self, config=VqganConfig(), explicit=False):
        super().__init__()
        self.encoder = Encoder(config, explicit)
        self.quant_conv = nn.Conv2d(config.latent, config.latent, 1)
        self.quantizer = Quantizer(config.codes, config.latent, explicit)
        self.post_quant_conv = nn.Conv2d(config.latent, config.latent, 1)
        self.decoder = Decoder(config, explicit)

    def encode(self, pictures):
        """[B, 3, H, W] -> codes [B, H/16, W/16]."""
        return self.quantizer.codes(self.quant_conv(self.encoder(pictures)))

    def decode(self, codes):
        return self.decoder(self.post_quant_conv(self.quantizer.vectors(codes)))

    def forward(self, pictures):
        quantised, loss = self.quantizer(self.quant_conv(self.encoder(pictures)))
        return self.decoder(self.post_quant_conv(quantised)), loss


# --------------------------------------------------------------------------------------------------------------- losses


class Lpips(nn.Module):
    """VGG16 up to relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3; a linear head for each. Frozen."""

    def __init__(self, width=64):
        super().__init__()
        plan = [(2, width), (2, 2 * width), (3, 4 * width), (3, 8 * width), (3, 8 * width)]
        self.stages, self.heads = nn.ModuleList(), nn.ModuleList()
        inputs = 3
        for index, (convolutions, channels) in enumerate(plan):
            layers = [nn.MaxPool2d(2)] if index > 0 else []
            for _ in range(convolutions):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
            self.stages.append(nn.Sequential(*layers))
            # The dropout is active in the authors' training: their root module's train() reaches it.
            self.heads.append(nn.Sequential(nn.Dropout(0.5), nn.Conv2d(channels, 1, 1, bias=False)))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, first, second):
        """-> [B, 1, 1, 1]."""
        first, second = (first - self.shift) / self.scale, (second - self.shift) / self.scale
        total = 0
        for stage, head in zip(self.stages, self.heads):
            first, second = stage(first), stage(second)
            difference = (unit_length(first) - unit_length(second)).square()
            total = total + head(difference).mean((2, 3), keepdim=True)
        return total


def unit_length(features):
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


class Discriminator(nn.Sequential):
    """PatchGAN: 256 pixels -> 30x30 logits."""

    def __init__(self, width=64, layers=3):
        stack = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        inputs = width
        for index in range(1, layers + 1):
            outputs = width * min(2**index, 8)
            stride = 2 if index < layers else 1
            stack += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            inputs = outputs
        stack.append(nn.Conv2d(inputs, 1, 4, padding=1))
        super().__init__(*stack)


# ------------------------------------------------------------------------------------------------------------------ GPT


@dataclass(frozen=True)
class GptConfig:
    """The defaults are the network of the authors' landscape and face models: 304.93 M parameters."""

    vocabulary: int = 1024
    length: int = 512
    layers: int = 24
    heads: int = 16
    width: int = 1024


TINY_GPT = GptConfig(vocabulary=64, layers=2, heads=2, width=32)


class Cache:
    """Keys and values of all positions so far, in tensors allocated once."""

    def __init__(self, gpt, batch, length, dtype):
        config = gpt.config
        shape = (batch, config.heads, length, config.width // config.heads)
        self.layers = [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in range(config.layers)]
        self.length = 0


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.query, self.key, self.value, self.project = (nn.Linear(config.width, config.width) for _ in range(4))
        self.heads = config.heads

    def split(self, x):
        b, t, c = x.shape
        return x.view(b, t, self.heads, c // self.heads).transpose(1, 2)

    def join(self, x):
        b, heads, t, width = x.shape
        return self.project(x.transpose(1, 2).reshape(b, t, heads * width))

    def forward(self, x, keys=None, values=None, position=0):
        """With `keys` and `values` [B, heads, length, width/heads]: x continues what they hold up to `position`."""
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        t = x.shape[1]
        if keys is not None:
            keys[:, :, position : position + t] = key
            values[:, :, position : position + t] = value
            if position > 0:  # t is 1, which sees everything
                key, value = keys[:, :, : position + t], values[:, :, : position + t]
        return self.join(F.scaled_dot_product_attention(query, key, value, is_causal=t > 1))


class AuthorsAttention(Attention):
    """The matrix written out; the past is concatenated to, and `present` is what the next call gets back."""

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("mask", torch.tril(torch.ones(config.length, config.length))[None, None])
        self.present = None

    def forward(self, x, keys=None, values=None, position=0):
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        t = x.shape[1]
        if not torch.is_grad_enabled():
            self.present = torch.stack((key, value))
        if keys is not None:
            key, value = torch.cat((keys, key), dim=-2), torch.cat((values, value), dim=-2)
        scores = query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5
        if keys is None:
            scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        return self.join(torch.softmax(scores, dim=-1) @ value)


class Block(nn.Module):
    def __init__(self, config, explicit):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = AuthorsAttention(config) if explicit else Attention(config)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, 4 * config.width), nn.GELU(), nn.Linear(4 * config.width, config.width)
        )

    def forward(self, x, keys=None, values=None, position=0):
        x = x + self.attention(self.ln1(x), keys, values, position)
        return x + self.mlp(self.ln2(x))


class Gpt(nn.Module):
    def __init__(self, config=GptConfig(), explicit=False):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.zeros(1, config.length, config.width))
        self.blocks = nn.ModuleList(Block(config, explicit) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)

    def embed(self, codes, position=0):
        return self.tokens(codes) + self.positions[:, position : position + codes.shape[1]]

    def forward(self, codes):
        """Codes [B, T] -> logits [B, T, vocabulary]."""
        x = self.embed(codes)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def extend(self, codes, cache):
        """Codes [B, T] after those in the cache (T = 1 unless it is empty) -> logits [B, vocabulary] of what follows."""
        x = self.embed(codes, cache.length)
        for block, (keys, values) in zip(self.blocks, cache.layers):
            x = block(x, keys, values, cache.length)
        cache.length += codes.shape[1]
        return self.head(self.norm(x[:, -1]))

    def extend_by_concatenation(self, codes, past):
        """The same as the authors do it. `past` is the list of what each call so far produced; this call's is appended."""
        joined = torch.cat(past, dim=-2) if past else None  # [layers, 2, B, heads, T, width/heads], copied every step
        x = self.embed(codes, joined.shape[-2] if past else 0)
        for index, block in enumerate(self.blocks):
            x = block(x, *joined[index]) if past else block(x)
        past.append(torch.stack([block.attention.present for block in self.blocks]))
        return self.head(self.norm(x))[:, -1]

    def parameter_groups(self):
        """Weight decay on the weights of linear layers only."""
        decayed = {id(module.weight) for module in self.modules() if isinstance(module, nn.Linear)}
        return [
            {"params": [p for p in self.parameters() if id(p) in decayed], "weight_decay": 0.01},
            {"params": [p for p in self.parameters() if id(p) not in decayed], "weight_decay": 0.0},
        ]


def draw(logits, top_k=100):
    """Logits [B, vocabulary] -> drawn codes [B, 1]."""
    kth = torch.topk(logits, min(top_k, logits.shape[-1])).values[:, -1:]
    probabilities = torch.softmax(logits.masked_fill(logits < kth, float("-inf")).float(), dim=-1)
    return torch.multinomial(probabilities, 1)
