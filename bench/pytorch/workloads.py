"""What is timed. Each workload builds its networks and returns a `Timed`: what to do before each repetition, what to time, and
how many units (pictures, steps, codes) one repetition is."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F

from networks import TINY_GPT, TINY_VQGAN, Cache, Discriminator, Gpt, GptConfig, Lpips, Vqgan, VqganConfig, draw

BASE_LEARNING_RATE = 4.5e-6  # of all the authors' configurations; times the batch size
GRID = 16  # codes per side of a 256-pixel picture, and of the window
PROMPT = 16
DECODED = 64


@dataclass
class Timed:
    run: Callable
    units: int = 1
    prepare: Callable = lambda: None


class Setting:
    """The words of settings.py as what they do to networks."""

    def __init__(self, text, precision, tiny):
        self.words = set(text.split("+"))
        self.precision, self.tiny = precision, tiny
        if precision == "bf16" and not self.words & {"autocast", "pure"}:
            raise ValueError("bf16 needs the setting autocast or pure")
        if precision == "f32" and self.words & {"autocast", "pure"}:
            raise ValueError("autocast and pure are settings of bf16")
        if self.compiled:
            from torch._dynamo import config

            config.fail_on_recompile_limit_hit = True  # rather than going on uncompiled under this name
        if "freeze" in self.words:
            from torch._inductor import config

            config.freezing = True

    @property
    def explicit(self):
        return "authors" in self.words

    @property
    def compiled(self):
        return "compile" in self.words

    @property
    def weight_type(self):
        return torch.bfloat16 if "pure" in self.words else torch.float32

    @property
    def activation_type(self):
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def memory_format(self):
        return torch.channels_last if "channels_last" in self.words else torch.contiguous_format

    @property
    def optimizer_options(self):
        return {word: True for word in ("foreach", "fused") if word in self.words}

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16) if "autocast" in self.words else nullcontext()

    def build(self, make):
        # Made in the final type at once: a detour over f32 would count in the peak of memory.
        torch.set_default_dtype(self.weight_type)
        network = make()
        torch.set_default_dtype(torch.float32)
        return network.to(memory_format=self.memory_format)

    def vqgan(self):
        return self.build(lambda: Vqgan(TINY_VQGAN if self.tiny else VqganConfig(), self.explicit))

    def gpt(self):
        gpt = self.build(lambda: Gpt(TINY_GPT if self.tiny else GptConfig(), self.explicit))
        if self.compiled:
            for block in gpt.blocks:  # all blocks share one compilation
                block.compile()
        return gpt

    def pictures(self, batch, size):
        pictures = torch.rand(batch, 3, size, size) * 2 - 1
        return pictures.to(self.weight_type, memory_format=self.memory_format)


# ------------------------------------------------------------------------------------------------- stage 1, inference


def inference_vqgan(setting):
    vqgan = setting.vqgan().eval()
    if setting.compiled:
        vqgan.encoder.compile()
        vqgan.decoder.compile()
    return vqgan


def reconstruct_256(setting, batch):
    vqgan, pictures = inference_vqgan(setting), setting.pictures(batch, 256)
    return Timed(lambda: vqgan.decode(vqgan.encode(pictures)))


def encode_256(setting, batch):
    vqgan, pictures = inference_vqgan(setting), setting.pictures(batch, 256)
    return Timed(lambda: vqgan.encode(pictures))


def decode_256(setting, batch):
    vqgan = inference_vqgan(setting)
    codes = torch.randint(vqgan.quantizer.embedding.num_embeddings, (batch, GRID, GRID))
    return Timed(lambda: vqgan.decode(codes))


# -------------------------------------------------------------------------------------------------- stage 1, training


def tokenizer_step(setting, batch):
    """One step with the discriminator active, as the authors' training loop does it: the autoencoder's optimiser, then a
    second forward pass of everything (LPIPS too) for the discriminator's."""
    vqgan = setting.vqgan().train()
    lpips = setting.build(lambda: Lpips(8 if setting.tiny else 64)).train()
    discriminator = setting.build(lambda: Discriminator(8 if setting.tiny else 64)).train()
    pictures = setting.pictures(batch, 128)
    if setting.compiled:
        # The last convolution stays outside: compiled, the gradient at its weight would cost the decoder's whole backward.
        from torch._functorch import config

        config.donated_buffer = False  # retain_graph below
        for part in (vqgan.encoder, vqgan.decoder.trunk, lpips, discriminator):
            part.compile()

    options = dict(lr=batch * BASE_LEARNING_RATE, betas=(0.5, 0.9), **setting.optimizer_options)
    own, theirs = list(vqgan.parameters()), list(discriminator.parameters())
    own_optimizer, their_optimizer = torch.optim.Adam(own, **options), torch.optim.Adam(theirs, **options)
    last_layer = vqgan.decoder.conv_out.weight

    def forward():
        reconstruction, codebook_loss = vqgan(pictures)
        distances = (pictures - reconstruction).abs() + lpips(pictures, reconstruction)
        return reconstruction, codebook_loss, distances.mean()

    def autoencoder_step():
        toggle(on=own, off=theirs)
        with setting.autocast():
            reconstruction, codebook_loss, nll = forward()
            gan_loss = -discriminator(reconstruction).mean()
        (nll_gradient,) = torch.autograd.grad(nll, last_layer, retain_graph=True)
        (gan_gradient,) = torch.autograd.grad(gan_loss, last_layer, retain_graph=True)
        weight = (nll_gradient.norm() / (gan_gradient.norm() + 1e-4)).clamp(0, 1e4) * 0.8
        loss = nll + weight * gan_loss + codebook_loss
        loss.backward()
        own_optimizer.step()
        own_optimizer.zero_grad()
        return loss

    def discriminator_step():
        toggle(on=theirs, off=own)
        with setting.autocast():
            reconstruction, _, _ = forward()
            real, fake = discriminator(pictures), discriminator(reconstruction.detach())
            loss = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        loss.backward()
        their_optimizer.step()
        their_optimizer.zero_grad()
        return loss

    return Timed(lambda: (autoencoder_step(), discriminator_step()))


def toggle(on, off):
    """Only one optimiser's parameters get gradients at a time."""
    for parameter in on:
        parameter.requires_grad_(True)
    for parameter in off:
        parameter.requires_grad_(False)


# ------------------------------------------------------------------------------------------------------------ stage 2


def prior_step(setting, batch):
    """A start token and 255 codes in, 256 codes predicted."""
    gpt = setting.gpt().train()
    codes = torch.randint(gpt.config.vocabulary, (batch, GRID * GRID))
    inputs = torch.cat((torch.zeros_like(codes[:, :1]), codes[:, :-1]), dim=1)
    optimizer = torch.optim.AdamW(
        gpt.parameter_groups(), lr=batch * BASE_LEARNING_RATE, betas=(0.9, 0.95), **setting.optimizer_options
    )

    def run():
        with setting.autocast():
            loss = F.cross_entropy(gpt(inputs).flatten(0, 1), codes.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()  # here and not before backward: no gradients are kept through the next forward pass
        return loss

    return Timed(run)


class Drawing:
    """Sequences that grow by one drawn code per `step`."""

    def __init__(self, gpt, setting, batch, length):
        self.gpt, self.authors = gpt, setting.explicit
        self.cache = None if self.authors else Cache(gpt, batch, length, setting.activation_type)
        self.past = []

    def start(self, prompt):
        """Forgets everything, reads the prompt [batch, T] and draws the code after it."""
        if self.authors:
            self.past = []
        else:
            self.cache.length = 0
        self.last = prompt
        return self.step()

    def step(self):
        if self.authors:
            logits = self.gpt.extend_by_concatenation(self.last, self.past)
        else:
            logits = self.gpt.extend(self.last, self.cache)
        self.last = draw(logits)
        return self.last


def prior_decode(setting, batch):
    """One step draws one code of each sequence; the milliseconds are those of a step, whatever the batch."""
    gpt = setting.gpt().eval()
    prompt = torch.randint(gpt.config.vocabulary, (batch, PROMPT))
    drawing = Drawing(gpt, setting, batch, PROMPT + DECODED)

    def run():
        for _ in range(DECODED):
            drawing.step()

    return Timed(run, units=DECODED, prepare=lambda: drawing.start(prompt))


def sample_256(setting, batch):
    """A whole picture: 256 codes from a start token, then the decoder."""
    vqgan, gpt = inference_vqgan(setting), setting.gpt().eval()
    drawing = Drawing(gpt, setting, batch, GRID * GRID)

    def run():
        first = drawing.start(torch.zeros(batch, 1, dtype=torch.long))
        codes = [first] + [drawing.step() for _ in range(GRID * GRID - 1)]
        return vqgan.decode(torch.cat(codes, dim=1).reshape(batch, GRID, GRID))

    return Timed(run)


def window_32x32(setting, batch):
    """The authors' sliding window: for every code of a 32x32 grid, a pass without cache over the start token and the 16x16
    window around the code.

    Every pass has the same length, wherever the window is, so that all 1024 codes cost the same: a few, evenly spread over
    the grid, stand for all of them and need no weights.
    """
    gpt = setting.gpt().eval()
    side, measured = 32, 8
    grid = torch.randint(gpt.config.vocabulary, (batch, side, side))
    start = torch.zeros(batch, 1, dtype=torch.long)
    rows = [(2 * index + 1) * side // (2 * measured) for index in range(measured)]
    cells = [(row, row * 5 % side) for row in rows]

    def run():
        for row, column in cells:
            top, left = window_origin(row, side), window_origin(column, side)
            window = grid[:, top : top + GRID, left : left + GRID].reshape(batch, -1)
            logits = gpt(torch.cat((start, window), dim=1)[:, :-1])
            grid[:, row, column] = draw(logits[:, (row - top) * GRID + column - left])[:, 0]

    return Timed(run, units=measured)


def window_origin(cell, side):
    return min(max(cell - GRID // 2, 0), side - GRID)


BUILDERS = {
    "reconstruct-256": reconstruct_256,
    "encode-256": encode_256,
    "decode-256": decode_256,
    "tokenizer-step": tokenizer_step,
    "prior-step": prior_step,
    "prior-decode": prior_decode,
    "sample-256": sample_256,
    "window-32x32": window_32x32,
}
TRAINING = {"tokenizer-step", "prior-step"}
