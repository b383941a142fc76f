"""How the families turn vectors `[1, d, h, w]` into codes. `quantize` also tells how far the best code is from the
second best: where that is little, another order of summation may choose the other."""

import torch
from torch import nn
from torch.nn import functional as F


class Codebook(nn.Module):
    """Rows compared by distance (`nearest`), by distance of unit vectors (`l2`) or by dot product (`dot`)."""

    def __init__(self, count, width, kind="nearest"):
        super().__init__()
        self.embedding = nn.Embedding(count, width)
        self.kind = kind

    def rows(self):
        weight = self.embedding.weight
        return F.normalize(weight, dim=-1) if self.kind == "l2" else weight

    def scores(self, vectors):
        flat = vectors.permute(0, 2, 3, 1).flatten(0, 2)
        rows = self.rows()
        if self.kind == "l2":
            flat = F.normalize(flat, dim=-1)
        product = flat @ rows.T
        if self.kind == "dot":
            return product
        return 2.0 * product - (rows**2).sum(1) - (flat**2).sum(1, keepdim=True)

    def lookup(self, codes):
        return self.rows()[codes].permute(0, 3, 1, 2)


class Gumbel(nn.Module):
    """The code of the highest logit; the authors add noise even when they only encode, which no two programs share."""

    def __init__(self, count, width):
        super().__init__()
        self.proj = nn.Conv2d(width, count, 1)
        self.embed = nn.Embedding(count, width)

    def scores(self, vectors):
        return self.proj(vectors).permute(0, 2, 3, 1).flatten(0, 2)

    def lookup(self, codes):
        return self.embed.weight[codes].permute(0, 3, 1, 2)


def quantize(quantizer, vectors):
    """Codes `[1, h, w]` and the smallest lead of a chosen code."""
    best = torch.topk(quantizer.scores(vectors), 2, dim=1)
    codes = best.indices[:, 0].reshape(vectors.shape[0], *vectors.shape[2:])
    return codes, (best.values[:, 0] - best.values[:, 1]).min().item()
