"""EfficientNet-lite0 (tensorflow/tpu, models/official/efficientnet/lite) under the names of its PyTorch port
(ml-illustrated/EfficientNet-Lite-PyTorch): ReLU6, no squeeze-and-excitation, TensorFlow's "same" padding."""

import torch.nn.functional as F
from torch import nn

# Repeats, kernel, stride of the first, expansion, channels in and out.
STAGES = [
    (1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320),
]


def convolution(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)


def padded(layer, x):
    """Zeros around x until the output has as many pixels as the input, divided by the stride; the odd one last."""
    sides = []
    for length, kernel, stride in zip(x.shape[:1:-1], layer.kernel_size[::-1], layer.stride[::-1]):
        missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        sides += [missing // 2, missing - missing // 2]
    return layer(F.pad(x, sides))


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(self, kernel, stride, expansion, inputs, outputs):
        super().__init__()
        width = inputs * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = convolution(inputs, width, 1), norm(width)
        self._depthwise_conv, self._bn1 = convolution(width, width, kernel, stride, width), norm(width)
        self._project_conv, self._bn2 = convolution(width, outputs, 1), norm(outputs)

    def forward(self, x):
        hidden = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        hidden = F.relu6(self._bn1(padded(self._depthwise_conv, hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return hidden + x if self.skips else hidden


class EfficientNetLite0(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList()
        for repeats, kernel, stride, expansion, inputs, outputs in STAGES:
            for index in range(repeats):
                shape = (1, expansion, outputs, outputs) if index else (stride, expansion, inputs, outputs)
                self._blocks.append(Block(kernel, *shape))
        self._conv_head, self._bn1 = convolution(320, 1280, 1), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def features(self, x):
        """`[n, 3, 224, 224]`, levels (l - 127) / 128, to `[n, 1280]`."""
        x = F.relu6(self._bn0(padded(self._conv_stem, x)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
