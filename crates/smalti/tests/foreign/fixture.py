"""What the modules of the families share: networks filled from the generator, and the two files of a fixture."""

import json
import pathlib
import struct
import sys

import numpy as np
import torch

import generator

torch.set_num_threads(1)
DTYPES = {"float32": "F32", "int32": "I32"}


def fill(network, scale=None, key=lambda name: name):
    """Gives every parameter of a network the generator's values under `key(name)`, strictly."""
    state = {
        name: torch.from_numpy(generator.tensor(key(name), list(tensor.shape), scale=scale))
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(state, strict=True)
    return network.eval()


def listing(network, key=lambda name: name):
    """The tensors of a network as the JSON names them: `[key, shape, dtype]`."""
    return [[key(name), list(tensor.shape), "float32"] for name, tensor in network.state_dict().items()]


def write_json(path, tensors, wrapper, scale=None, **more):
    """The description of a published file, one tensor a line. `more`: further fields."""
    lines = ",\n".join(json.dumps(tensor, separators=(",", ":")) for tensor in tensors)
    rest = json.dumps({"wrapper": wrapper, "config": None, "scale": scale or {}, **more})
    path.write_text('{"tensors":[\n' + lines + "\n],\n" + rest[1:] + "\n")


def write_safetensors(path, tensors):
    """Arrays of f32 and i32 as a safetensors file."""
    header, at = {}, 0
    for name, array in tensors.items():
        end = at + array.nbytes
        header[name] = {"dtype": DTYPES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def report(name, **tensors):
    """Prints what to look at before a fixture is committed."""
    sizes = [f"{key} |mean| {tensor.abs().mean():.3f} max {tensor.abs().max():.3f}" for key, tensor in tensors.items()]
    print(f"{name}: " + ", ".join(sizes))


def folder():
    """The folder to write to, from the command line."""
    return pathlib.Path(sys.argv[1])
