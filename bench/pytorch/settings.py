"""Names of the workloads, and the PyTorch settings that compete for "PyTorch's best" at each precision. No torch in here.

A setting is words joined by "+":
  authors        the authors' formulation: attention by its matrix, NCHW, cache by concatenation, optimiser without options
  nchw           PyTorch's default memory format     channels_last  NHWC, which oneDNN's convolutions prefer
  eager          neither matters (no convolutions)
  autocast       f32 weights, bf16 where torch.autocast decides so
  pure           bf16 weights and activations (inference only: a bf16 weight is too coarse to take small updates)
  foreach, fused the optimiser's implementation
  compile        torch.compile                       freeze         its weights as constants, packed for oneDNN
"""

PICTURES = {
    "f32": ["nchw", "channels_last", "channels_last+compile", "channels_last+compile+freeze"],
    "bf16": [
        "autocast+nchw",
        "autocast+channels_last",
        "pure+nchw",
        "pure+channels_last",
        "autocast+channels_last+compile",
        "pure+channels_last+compile",
        "pure+channels_last+compile+freeze",
    ],
}
TOKENIZER_STEP = {
    "f32": ["nchw+fused", "channels_last", "channels_last+foreach", "channels_last+fused", "channels_last+fused+compile"],
    "bf16": [
        "autocast+nchw+fused",
        "autocast+channels_last",
        "autocast+channels_last+foreach",
        "autocast+channels_last+fused",
        "autocast+channels_last+fused+compile",
    ],
}
PRIOR_STEP = {
    "f32": ["eager", "foreach", "fused", "fused+compile"],
    "bf16": ["autocast", "autocast+foreach", "autocast+fused", "autocast+fused+compile"],
}
CODES = {
    "f32": ["eager", "compile"],
    "bf16": ["autocast", "pure", "autocast+compile", "pure+compile"],
}
SAMPLE = {
    "f32": ["nchw", "channels_last", "channels_last+compile"],
    "bf16": ["autocast+channels_last", "pure+channels_last", "pure+channels_last+compile"],
}

# name: (settings, batch, timed repetitions)
WORKLOADS = {
    "reconstruct-256": (PICTURES, 1, 10),
    "encode-256": (PICTURES, 1, 10),
    "decode-256": (PICTURES, 1, 10),
    "tokenizer-step": (TOKENIZER_STEP, 2, 5),
    "prior-step": (PRIOR_STEP, 1, 5),
    "prior-decode": (CODES, 1, 3),
    "sample-256": (SAMPLE, 1, 1),
    "window-32x32": (CODES, 1, 3),
}

WORDS = {"authors", "nchw", "channels_last", "eager", "autocast", "pure", "foreach", "fused", "compile", "freeze"}


def settings(workload, precision):
    return WORKLOADS[workload][0][precision]


def batch(workload):
    return WORKLOADS[workload][1]


def repetitions(workload):
    return WORKLOADS[workload][2]
