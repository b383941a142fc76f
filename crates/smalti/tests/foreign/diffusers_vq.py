"""diffusers' `VQModel` (src/diffusers/models/autoencoders/vq_model.py, unets/unet_2d_blocks.py): the same network,
attention as linear layers under the names of before and after version 0.15."""

from torch import nn
from torch.nn import functional as F

from blocks import NEW_LINEAR, OLD_LINEAR, Attention, Down, Residual, Up, norm, widths
from quantizers import Codebook
from taming import F4, Tokenizer


class Block(nn.Module):
    def __init__(self, inputs, outputs, count, attention, name=None, resample=None):
        super().__init__()
        self.resnets = nn.ModuleList(
            [Residual(inputs if i == 0 else outputs, outputs, "conv_shortcut") for i in range(count)]
        )
        if attention:
            self.attentions = nn.ModuleList([Attention(outputs, attention) for _ in range(count)])
        self.resample = name
        if name:
            self.add_module(name, nn.ModuleList([resample(outputs)]))

    def forward(self, x):
        for i, resnet in enumerate(self.resnets):
            x = resnet(x)
            if hasattr(self, "attentions"):
                x = self.attentions[i](x)
        return getattr(self, self.resample)[0](x) if self.resample else x


class Middle(nn.Module):
    def __init__(self, width, attention):
        super().__init__()
        if attention:
            self.attentions = nn.ModuleList([Attention(width, attention)])
        self.resnets = nn.ModuleList([Residual(width, width, "conv_shortcut") for _ in range(2)])

    def forward(self, x):
        x = self.resnets[0](x)
        if hasattr(self, "attentions"):
            x = self.attentions[0](x)
        return self.resnets[1](x)


def middle(shape, width):
    return Middle(width, shape["names"] if shape.get("middle_attention", True) else None)


class Encoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, last = widths(shape), len(shape["multipliers"]) - 1
        self.conv_in = nn.Conv2d(3, width[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            Block(
                width[max(level - 1, 0)],
                width[level],
                shape["blocks"],
                shape["names"] if level in shape["attention"] else None,
                "downsamplers" if level < last else None,
                Down,
            )
            for level in range(last + 1)
        )
        self.mid_block = middle(shape, width[last])
        self.conv_norm_out = norm(width[last])
        self.conv_out = nn.Conv2d(width[last], shape["z"], 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """`up_blocks.0` is the lowest resolution, unlike the authors' `up.0`."""

    def __init__(self, shape):
        super().__init__()
        width, last = widths(shape), len(shape["multipliers"]) - 1
        self.conv_in = nn.Conv2d(shape["z"], width[last], 3, padding=1)
        self.up_blocks = nn.ModuleList(
            Block(
                width[min(level + 1, last)],
                width[level],
                shape["blocks"] + 1,
                shape["names"] if level in shape["attention"] else None,
                "upsamplers" if level else None,
                Up,
            )
            for level in reversed(range(last + 1))
        )
        self.mid_block = middle(shape, width[last])
        self.conv_norm_out = norm(width[0])
        self.conv_out = nn.Conv2d(width[0], 3, 3, padding=1)

    def forward(self, x):
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def tokenizer(shape):
    return Tokenizer(shape, Codebook(shape["codes"], shape["dimension"]), Encoder, Decoder)


# The first stage of CompVis/ldm-celebahq-256, of microsoft/vq-diffusion-ithq and of amused/amused-256.
LDM = {**F4, "names": OLD_LINEAR}
VQ_DIFFUSION = {
    "channels": 64,
    "multipliers": [1, 2, 4, 8],
    "blocks": 2,
    "attention": [3],
    "z": 256,
    "dimension": 128,
    "codes": 4096,
    "names": NEW_LINEAR,
}
AMUSED = {
    "channels": 128,
    "multipliers": [1, 2, 2, 4, 6],
    "blocks": 2,
    "attention": [],
    "middle_attention": False,
    "z": 64,
    "dimension": 64,
    "codes": 8192,
    "names": NEW_LINEAR,
}


def configuration(shape, sample_size):
    levels = range(len(shape["multipliers"]))
    attention = {level: "Attn" if level in shape["attention"] else "" for level in levels}
    configuration = {
        "_class_name": "VQModel",
        "act_fn": "silu",
        "block_out_channels": widths(shape),
        "down_block_types": [f"{attention[level]}DownEncoderBlock2D" for level in levels],
        "in_channels": 3,
        "latent_channels": shape["z"],
        "layers_per_block": shape["blocks"],
        "norm_num_groups": 32,
        "num_vq_embeddings": shape["codes"],
        "out_channels": 3,
        "sample_size": sample_size,
        "up_block_types": [f"{attention[level]}UpDecoderBlock2D" for level in reversed(levels)],
        "vq_embed_dim": None if shape["dimension"] == shape["z"] else shape["dimension"],
    }
    if not shape.get("middle_attention", True):
        configuration["mid_block_add_attention"] = False
    return configuration
