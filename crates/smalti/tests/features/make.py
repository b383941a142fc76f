"""Makes the fixtures of `feature_networks.rs`: which tensors the published files hold (NAME.json), what the networks
make of two pictures with weights from the formula of ../foreign/generator.py (networks.safetensors), and pictures
scaled by PyTorch (resampling.safetensors).

    python make.py                        (PyTorch and numpy; half a minute on one thread)
    python make.py WEIGHTS PICTURE.npy…   what EfficientNet-lite0 makes of the middle squares of pictures, with the
                                          published weights: the numbers of the photographs in `feature_networks.rs`
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "foreign"))

import generator
from efficientnet import EfficientNetLite0
from fixture import write_safetensors
from inception import Inception

# Factors for kernels, chosen so that activations neither fade nor grow.
INCEPTION, EFFICIENTNET = {"conv.weight": 1.45}, {"_conv": 1.4}


def levels(height, width, count=2):
    """`[count, 3, height, width]`, every value a level of 8 bits: a busy picture and a smooth one."""
    axes = (np.arange(extent) for extent in (count, 3, height, width))
    n, c, y, x = np.meshgrid(*axes, indexing="ij")
    values = np.where(n == 0, x * 7 + y * 13 + c * 29 + (x * y) % 31 * 5, x * 2 + y + c * 29) % 256
    return torch.from_numpy(values.astype(np.float32))


def value(key, tensor, scale):
    values = generator.tensor(key, list(tensor.shape), str(tensor.dtype).removeprefix("torch."), scale)
    # Variances are around 1.
    return torch.from_numpy(values + np.float32(1.0) if key.endswith("running_var") else values)


def fill(network, scale):
    state = {key: value(key, tensor, scale) for key, tensor in network.state_dict().items()}
    network.load_state_dict(state, strict=True)
    return network.eval()


def listing(name, network):
    """The tensors of the published file, one a line; those without axes are counters."""
    rows = [[key, list(tensor.shape)] for key, tensor in network.state_dict().items()]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (FOLDER / f"{name}.json").write_text("[\n" + lines + "\n]\n")


def run(name, network, pixels, classifier):
    features = network.features(pixels)
    logits = classifier(features)
    for what, tensor in ("features", features), ("logits", logits):
        print(f"{name}: {what} |mean| {tensor.abs().mean():.3f}, max {tensor.abs().max():.3f}")
    print(f"  the pictures differ by {(features[0] - features[1]).abs().mean():.3f}")
    return {f"{name}.features": features.numpy(), f"{name}.logits": logits.numpy()}


def networks():
    pictures = levels(64, 48)
    stretched = lambda side, **how: F.interpolate(pictures, (side, side), mode="bilinear", align_corners=False, **how)
    arrays = {}
    for name, ported in ("inception-fid", True), ("inception-torchvision", False):
        network = fill(Inception(ported), INCEPTION)
        listing(name, network)
        arrays |= run(name, network, stretched(299, antialias=not ported) / 127.5 - 1, network.fc)
    network = fill(EfficientNetLite0(), EFFICIENTNET)
    listing("efficientnet-lite0", network)
    arrays |= run("efficientnet-lite0", network, (stretched(224, antialias=True) - 127) / 128, network._fc)
    write_safetensors(FOLDER / "networks.safetensors", arrays)


def corner(picture, side):
    """TensorFlow 1's bilinear interpolation: the upper left pixels lie on one another, and no pixel has an extent."""
    for axis in (2, 3):
        extent = picture.shape[axis]
        place = torch.arange(side, dtype=torch.float32) * torch.tensor(extent / side, dtype=torch.float32)
        low = place.long()
        share = (place - low).reshape([side if a == axis else 1 for a in range(4)])
        below = picture.index_select(axis, low)
        above = picture.index_select(axis, (low + 1).clamp(max=extent - 1))
        picture = below + (above - below) * share
    return picture


def resampling():
    picture = levels(13, 9, 1) / 127.5 - 1
    arrays = {}
    for side in 5, 12:
        scaled = lambda mode, antialias: F.interpolate(
            picture, (side, side), mode=mode, align_corners=False, antialias=antialias
        )
        arrays |= {
            f"bilinear.{side}": scaled("bilinear", False).numpy(),
            f"bilinear-corner.{side}": corner(picture, side).numpy(),
            f"bilinear-antialiased.{side}": scaled("bilinear", True).numpy(),
            f"bicubic-antialiased.{side}": scaled("bicubic", True).numpy(),
        }
    write_safetensors(FOLDER / "resampling.safetensors", arrays)


def photographs(weights, pictures):
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    network.eval()
    for path in pictures:
        picture = torch.from_numpy(np.load(path).astype(np.float32)).permute(2, 0, 1)
        side = min(picture.shape[1:])
        top, left = ((extent - side) // 2 for extent in picture.shape[1:])
        square = picture[None, :, top:top + side, left:left + side]
        scaled = F.interpolate(square, (224, 224), mode="bilinear", align_corners=False, antialias=True)
        features = network.features((scaled - 127) / 128)
        share, index = network._fc(features).softmax(1).max(1)
        print(f"{Path(path).stem}: class {int(index)}, {float(share):.5f}, mean feature {float(features.mean()):.6f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        if sys.argv[1:]:
            photographs(sys.argv[1], sys.argv[2:])
        else:
            networks()
            resampling()
