"""The paper's network under the authors' names (taming/modules/diffusionmodules/model.py, taming/models/vqgan.py), as
latent-diffusion (ldm/models/autoencoder.py) and Open-MAGVIT2's IBQ (src/IBQ/models/ibqgan.py) use it too."""

from torch import nn

from blocks import Attention, Down, Residual, Up, norm, widths
from quantizers import Codebook, Gumbel
from torch.nn import functional as F


class Level(nn.Module):
    def __init__(self, inputs, outputs, count, attention, name=None, resample=None):
        super().__init__()
        self.block = nn.ModuleList([Residual(inputs if i == 0 else outputs, outputs) for i in range(count)])
        self.attn = nn.ModuleList([Attention(outputs) for _ in range(count if attention else 0)])
        self.resample = name
        if name:
            self.add_module(name, resample(outputs))

    def forward(self, x):
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return getattr(self, self.resample)(x) if self.resample else x


class Middle(nn.Module):
    def __init__(self, width, attention):
        super().__init__()
        self.block_1 = Residual(width, width)
        self.attn_1 = Attention(width) if attention else nn.Identity()
        self.block_2 = Residual(width, width)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, last = widths(shape), len(shape["multipliers"]) - 1
        self.conv_in = nn.Conv2d(3, shape["channels"], 3, padding=1)
        self.down = nn.ModuleList(
            Level(
                width[level - 1] if level else shape["channels"],
                width[level],
                shape["blocks"],
                level in shape["attention"],
                "downsample" if level < last else None,
                Down,
            )
            for level in range(last + 1)
        )
        self.mid = Middle(width[last], shape.get("middle_attention", True))
        self.norm_out = norm(width[last])
        self.conv_out = nn.Conv2d(width[last], shape["z"], 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, last = widths(shape), len(shape["multipliers"]) - 1
        self.conv_in = nn.Conv2d(shape["z"], width[last], 3, padding=1)
        self.mid = Middle(width[last], shape.get("middle_attention", True))
        self.up = nn.ModuleList(
            Level(
                width[min(level + 1, last)],
                width[level],
                shape["blocks"] + 1,
                level in shape["attention"],
                "upsample" if level else None,
                Up,
            )
            for level in range(last + 1)
        )
        self.norm_out = norm(width[0])
        self.conv_out = nn.Conv2d(width[0], 3, 3, padding=1)

    def forward(self, x):
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Tokenizer(nn.Module):
    def __init__(self, shape, quantizer, encoder=Encoder, decoder=Decoder):
        super().__init__()
        self.encoder, self.decoder, self.quantize = encoder(shape), decoder(shape), quantizer
        self.quant_conv = nn.Conv2d(shape["z"], shape["dimension"], 1)
        self.post_quant_conv = nn.Conv2d(shape["dimension"], shape["z"], 1)

    def vectors(self, pixels):
        return self.quant_conv(self.encoder(pixels))

    def decode(self, latent):
        return self.decoder(self.post_quant_conv(latent))


def tokenizer(shape, kind="nearest"):
    if kind == "gumbel":
        return Tokenizer(shape, Gumbel(shape["codes"], shape["dimension"]))
    return Tokenizer(shape, Codebook(shape["codes"], shape["dimension"], kind))


def network(multipliers, attention, length, codes, blocks=2):
    """A published shape: all begin 128 wide, and z is as wide as a code."""
    return {
        "channels": 128,
        "multipliers": multipliers,
        "blocks": blocks,
        "attention": attention,
        "z": length,
        "dimension": length,
        "codes": codes,
    }


F4 = network([1, 2, 4], [], 3, 8192)
F8 = network([1, 2, 2, 4], [3], 4, 16384)
F16 = network([1, 1, 2, 2, 4], [4], 256, 1024)
LDM_F16 = network([1, 1, 2, 2, 4], [4], 8, 16384)
GUMBEL_F8 = network([1, 1, 2, 4], [3], 256, 8192)
IBQ = network([1, 1, 2, 2, 4], [4], 256, 16384, blocks=4)


def perceptual_keys():
    """VGG and the linear layers of LPIPS, which training keeps in the checkpoint."""
    yield "loss.perceptual_loss.scaling_layer.shift", [1, 3, 1, 1]
    yield "loss.perceptual_loss.scaling_layer.scale", [1, 3, 1, 1]
    slices = [(1, [0, 2]), (2, [5, 7]), (3, [10, 12, 14]), (4, [17, 19, 21]), (5, [24, 26, 28])]
    inputs = 3
    for (part, layers), width in zip(slices, [64, 128, 256, 512, 512]):
        for layer in layers:
            yield f"loss.perceptual_loss.net.slice{part}.{layer}.weight", [width, inputs, 3, 3]
            yield f"loss.perceptual_loss.net.slice{part}.{layer}.bias", [width]
            inputs = width
    for index, width in enumerate([64, 128, 256, 512, 512]):
        yield f"loss.perceptual_loss.lin{index}.model.1.weight", [1, width, 1, 1]


def discriminator_keys(layers=3):
    """The patch discriminator of `layers` convolutions after the first, with its statistics."""
    main = "loss.discriminator.main"
    yield f"{main}.0.weight", [64, 3, 4, 4]
    yield f"{main}.0.bias", [64]
    width = 64
    for index in range(1, layers + 1):
        inputs, width = width, 64 * min(2**index, 8)
        yield f"{main}.{3 * index - 1}.weight", [width, inputs, 4, 4]
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield f"{main}.{3 * index}.{name}", [width]
        yield f"{main}.{3 * index}.num_batches_tracked", []
    yield f"{main}.{3 * layers + 2}.weight", [1, width, 4, 4]
    yield f"{main}.{3 * layers + 2}.bias", [1]


def typed(keys):
    return [(key, shape, "int64" if key.endswith("num_batches_tracked") else "float32") for key, shape in keys]


def loss_keys(layers=3):
    return typed([*perceptual_keys(), *discriminator_keys(layers)])


def average_keys(tokenizer):
    """The moving averages that Open-MAGVIT2 keeps of everything a gradient moves, under names without dots."""
    names = [(key, list(value.shape)) for key, value in tokenizer.named_parameters()]
    names += [(key, shape) for key, shape in discriminator_keys() if "running" not in key and "tracked" not in key]
    averages = [(average_key(key), shape, "float32") for key, shape in names]
    return [("model_ema.decay", [], "float32"), ("model_ema.num_updates", [], "int32"), *averages]


def average_key(key):
    return "model_ema." + key.replace(".", "")


def configuration(shape, name="ldm.models.autoencoder.VQModel", resolution=256):
    """The part of the published YAML that describes the network."""
    sides = [resolution >> level for level in shape["attention"]]
    ddconfig = {
        "double_z": False,
        "z_channels": shape["z"],
        "resolution": resolution,
        "in_channels": 3,
        "out_ch": 3,
        "ch": shape["channels"],
        "ch_mult": shape["multipliers"],
        "num_res_blocks": shape["blocks"],
        "attn_resolutions": sides,
        "dropout": 0.0,
    }
    if not shape.get("middle_attention", True):
        ddconfig = {"attn_type": "none", **ddconfig}
    params = {"embed_dim": shape["dimension"], "n_embed": shape["codes"], "ddconfig": ddconfig}
    return {"model": {"target": name, "params": params}}
