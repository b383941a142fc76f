"""The discrete variational autoencoder of DALL-E (openai/DALL-E, dall_e/encoder.py, decoder.py, utils.py).

python dalle.py FOLDER writes dalle.json and dalle.safetensors, and a folder dalle-tiny with a small network as it is
published: whole modules in encoder.pkl and decoder.pkl, one in each of the two forms torch.save has had."""

import sys
import types
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

import fixture
import generator


class Conv2d(nn.Module):
    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.n_in, self.n_out, self.kw, self.use_float16 = inputs, outputs, kernel, True
        self.device, self.requires_grad = torch.device("cpu"), False
        self.w = nn.Parameter(torch.zeros(outputs, inputs, kernel, kernel))
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return F.conv2d(x, self.w, self.b, padding=self.kw // 2)


def sequence(*named):
    return nn.Sequential(OrderedDict(named))


class Block(nn.Module):
    def __init__(self, inputs, outputs, kernels, layers):
        super().__init__()
        hidden = outputs // 4
        self.post_gain = 1 / layers**2
        self.id_path = Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        widths = [inputs, hidden, hidden, hidden, outputs]
        steps = []
        for index, kernel in enumerate(kernels):
            steps.append((f"relu_{index + 1}", nn.ReLU()))
            steps.append((f"conv_{index + 1}", Conv2d(widths[index], widths[index + 1], kernel)))
        self.res_path = sequence(*steps)

    def forward(self, x):
        return self.id_path(x) + self.post_gain * self.res_path(x)


class EncoderBlock(Block):
    pass


class DecoderBlock(Block):
    pass


def groups(block, first, widths, count, kernels, between):
    """`group_1`, `group_2`, …: `count` blocks each, and `between` after all but the last."""
    made, layers = [], len(widths) * count
    for index, width in enumerate(widths):
        blocks = []
        for number in range(count):
            blocks.append((f"block_{number + 1}", block(first, width, kernels, layers)))
            first = width
        if index + 1 < len(widths):
            blocks.append(between())
        made.append((f"group_{index + 1}", sequence(*blocks)))
    return made


class Encoder(nn.Module):
    def __init__(self, width, codes, count=2):
        super().__init__()
        self.n_hid, self.vocab_size, self.n_blk_per_group = width, codes, count
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.blocks = sequence(
            ("input", Conv2d(3, width, 7)),
            *groups(EncoderBlock, width, widths, count, [3, 3, 3, 1], lambda: ("pool", nn.MaxPool2d(2))),
            ("output", sequence(("relu", nn.ReLU()), ("conv", Conv2d(8 * width, codes, 1)))),
        )

    def forward(self, pixels):
        """Pictures in [-1, 1] to the logits of the codes."""
        return self.blocks(0.8 * (pixels * 0.5 + 0.5) + 0.1)


class Decoder(nn.Module):
    def __init__(self, width, first, codes, count=2):
        super().__init__()
        self.n_hid, self.n_init, self.vocab_size, self.n_blk_per_group = width, first, codes, count
        widths = [8 * width, 4 * width, 2 * width, width]
        middle = groups(
            DecoderBlock, first, widths, count, [1, 3, 3, 3], lambda: ("upsample", nn.Upsample(scale_factor=2))
        )
        self.blocks = sequence(
            ("input", Conv2d(codes, first, 1)),
            *middle,
            ("output", sequence(("relu", nn.ReLU()), ("conv", Conv2d(width, 6, 1)))),
        )

    def forward(self, one_hot):
        """Codes to pictures in about [-1, 1]; the last step of the published code, which clamps, is left out."""
        colours = torch.sigmoid(self.blocks(one_hot)[:, :3])
        return (colours - 0.1) / 0.8 * 2.0 - 1.0


@torch.no_grad()
def run(name, encoder, decoder, side):
    """What both networks make of the picture."""
    pixels = generator.picture(side)
    logits = encoder(torch.from_numpy(pixels))
    best = logits.topk(2, dim=1).values
    print("smallest margin", (best[:, 0] - best[:, 1]).min().item())
    indices = logits.argmax(dim=1)
    one_hot = F.one_hot(indices, logits.shape[1]).permute(0, 3, 1, 2).float()
    reconstruction = decoder(one_hot)
    fixture.report(name, logits=logits, reconstruction=reconstruction)
    return {"input": pixels, "indices": indices.int().numpy(), "reconstruction": reconstruction.numpy()}


# Without normalisation, values fade from block to block. A path has four convolutions, and its sum is multiplied by
# one over the square of the number of blocks.
SCALE = {"res_path": 2.5, "decoder.blocks.input": 8.0}
TINY_SCALE = {"res_path": 2.0, "decoder.blocks.input": 2.0}


def fill(network, name, scale):
    return fixture.fill(network, scale, lambda key: f"{name}.{key}")


def make(out):
    """The published sizes; its tensors in one list, what stands before the first dot being the file."""
    encoder, decoder = fill(Encoder(256, 8192), "encoder", SCALE), fill(Decoder(256, 128, 8192), "decoder", SCALE)
    tensors = [
        tensor
        for name, network in [("encoder", encoder), ("decoder", decoder)]
        for tensor in fixture.listing(network, lambda key: f"{name}.{key}")
    ]
    files = {"encoder.": "encoder.pkl", "decoder.": "decoder.pkl"}
    fixture.write_json(out / "dalle.json", tensors, "module", SCALE, files=files)
    fixture.write_safetensors(out / "dalle.safetensors", run("dalle", encoder, decoder, 64))


HOMES = {
    "Conv2d": "utils",
    "Encoder": "encoder",
    "EncoderBlock": "encoder",
    "Decoder": "decoder",
    "DecoderBlock": "decoder",
}


def published_class(name):
    """A class of the name that the published package has."""
    home = f"dall_e.{HOMES[name]}"
    for module in ["dall_e", home]:
        sys.modules.setdefault(module, types.ModuleType(module))
    if not hasattr(sys.modules[home], name):
        setattr(sys.modules[home], name, type(name, (nn.Module,), {"__module__": home}))
    return getattr(sys.modules[home], name)


def publish(network):
    """Makes a network look as if the published package and the PyTorch of its time had made it."""
    for module in network.modules():
        for name in ["_parameters", "_buffers", "_modules"]:
            module.__dict__[name] = OrderedDict(module.__dict__[name])
        if type(module).__name__ in HOMES:
            module.__class__ = published_class(type(module).__name__)
    return network


def make_tiny(out):
    folder = out / "dalle-tiny"
    folder.mkdir(exist_ok=True)
    encoder = fill(Encoder(4, 48, 1), "encoder", TINY_SCALE)
    decoder = fill(Decoder(4, 6, 48, 1), "decoder", TINY_SCALE)
    fixture.write_safetensors(folder / "io.safetensors", run("dalle-tiny", encoder, decoder, 32))
    # The older form keeps the source of every class and the path it lay at; a stand-in will do.
    torch.serialization.get_source_lines_and_file = lambda _: (["source"], 0, "source.py")
    torch.save(publish(encoder), folder / "encoder.pkl")
    torch.save(publish(decoder), folder / "decoder.pkl", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    make(fixture.folder())
    make_tiny(fixture.folder())
