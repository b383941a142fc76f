"""Makes the fixtures of `foreign.rs`: NAME.json, which tensors a published checkpoint holds, and NAME.safetensors, what
its network does with a picture. The published weights are not needed: `generator.py` makes others of the same names.

    python make.py [NAME …]        (PyTorch and numpy; all of them take half a minute on one thread)
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

import diffusers_vq
import generator
import llamagen
import taming
from quantizers import quantize

FOLDER = Path(__file__).parent


def safetensors(path, arrays):
    """Writes f32 and i32 arrays."""
    header, data = {}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        kind = {"float32": "F32", "int32": "I32"}[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_description(path, tensors, wrapper, config, scale):
    """One tensor a line."""
    lines = ",\n".join(json.dumps(list(tensor), separators=(",", ":")) for tensor in tensors)
    rest = json.dumps({"wrapper": wrapper, "config": config, "scale": scale})
    path.write_text('{"tensors":[\n' + lines + "\n],\n" + rest[1:] + "\n")


def run(network):
    """What the network makes of the picture, and the smallest lead of a code over the next."""
    pixels = torch.from_numpy(generator.picture())
    vectors = network.vectors(pixels)
    codes, lead = quantize(network.quantize, vectors)
    reconstruction = network.decode(network.quantize.lookup(codes))
    arrays = {
        "input": pixels.numpy(),
        "vectors": vectors.numpy(),
        "indices": codes.numpy().astype(np.int32),
        "reconstruction": reconstruction.numpy(),
    }
    return arrays, lead


def make(name, network, wrapper="", prefix="", extras=(), config=None, scale=None, loaded=lambda key: key):
    """`prefix` stands before the network's keys in the file, `extras` are tensors there that are not the network's, and
    `loaded` says by which of the file's keys a parameter is loaded."""
    own = [(prefix + key, list(value.shape), "float32") for key, value in network.state_dict().items()]
    tensors = own + list(extras)
    listed = {key: (shape, dtype) for key, shape, dtype in tensors}

    def value(key):
        key = loaded(prefix + key)
        return torch.from_numpy(generator.tensor(key, *listed[key], scale))

    network.load_state_dict({key: value(key) for key in network.state_dict()}, strict=True)
    with torch.no_grad():
        arrays, lead = run(network.eval())
    write_description(FOLDER / f"{name}.json", tensors, wrapper, config, scale or {})
    safetensors(FOLDER / f"{name}.safetensors", arrays)
    parameters = sum(value.numel() for value in network.state_dict().values())
    activity = {part: float(np.abs(arrays[part]).mean()) for part in ("vectors", "reconstruction")}
    distinct = len(np.unique(arrays["indices"]))
    print(
        f"{name}: {parameters / 1e6:.2f} M values, {distinct} different codes of {arrays['indices'].size}, "
        f"smallest lead {lead:.1e}, mean |vectors| {activity['vectors']:.2f}, "
        f"mean |reconstruction| {activity['reconstruction']:.2f}"
    )


def compvis(name, shape, kind="nearest", **more):
    make(name, taming.tokenizer(shape, kind), "state_dict", extras=taming.loss_keys(), **more)


def latent_diffusion(name, shape, layers=3, **more):
    config = {"file": "config.yaml", "content": taming.configuration(shape)}
    extras = taming.loss_keys(layers)
    make(name, taming.tokenizer(shape), "state_dict", extras=extras, config=config, **more)


def diffusers(name, shape, sample_size, **more):
    config = {"file": "config.json", "content": diffusers_vq.configuration(shape, sample_size)}
    make(name, diffusers_vq.tokenizer(shape), config=config, **more)


def ibq(name, shape):
    network = taming.tokenizer(shape, "dot")
    averages = taming.average_keys(network)
    extras = taming.loss_keys() + averages
    # The names of averages have no dots, so the generator does not know the weights of norms among them.
    norms = ("norm1weight", "norm2weight", "normweight", "norm_outweight")
    scale = {norm: 17.0 for norm in norms}
    make(name, network, "state_dict", extras=extras, scale=scale, loaded=taming.average_key)


FIXTURES = {
    "compvis-f16-1024": lambda name: compvis(name, taming.F16),
    "compvis-gumbel-f8": lambda name: compvis(name, taming.GUMBEL_F8, "gumbel"),
    "ldm-vq-f4": lambda name: latent_diffusion(name, taming.F4),
    "ldm-vq-f4-noattn": lambda name: latent_diffusion(name, {**taming.F4, "middle_attention": False}),
    "ldm-vq-f8": lambda name: latent_diffusion(name, taming.F8, 2),
    "ldm-vq-f16": lambda name: latent_diffusion(name, taming.LDM_F16, 2),
    "diffusers-ldm-celebahq": lambda name: diffusers(name, diffusers_vq.LDM, 256),
    "diffusers-vq-diffusion": lambda name: diffusers(name, diffusers_vq.VQ_DIFFUSION, 32),
    "diffusers-amused": lambda name: diffusers(name, diffusers_vq.AMUSED, 32),
    "llamagen-vq-8": lambda name: make(name, llamagen.tokenizer(llamagen.VQ_8), "model"),
    "llamagen-vq-16": lambda name: make(name, llamagen.tokenizer(llamagen.VQ_16), "model"),
    "ibq-16384": lambda name: ibq(name, taming.IBQ),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or FIXTURES:
        FIXTURES[name](name)
