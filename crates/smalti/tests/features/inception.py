"""Inception-v3 as torchvision has it (torchvision/models/inception.py) and as FID is measured with (pytorch-fid,
src/pytorch_fid/inception.py; torch-fidelity, feature_extractor_inceptionv3.py): the same layers under the same names,
and other poolings."""

import torch
import torch.nn.functional as F
from torch import nn


class Layer(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs, outputs, kernel, **options):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **options)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def flat(inputs, outputs, width):
    return Layer(inputs, outputs, (1, width), padding=(0, width // 2))


def tall(inputs, outputs, height):
    return Layer(inputs, outputs, (height, 1), padding=(height // 2, 0))


def same(inputs, outputs, kernel):
    return Layer(inputs, outputs, kernel, padding=kernel // 2)


class Mixed(nn.Module):
    """Branches side by side. `ported`: average pools leave the padding out, as TensorFlow's do."""

    def __init__(self, ported=False):
        super().__init__()
        self.ported = ported

    def pooled(self, x):
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=not self.ported)


class A(Mixed):
    def __init__(self, inputs, pooled, ported):
        super().__init__(ported)
        self.branch1x1 = same(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = same(inputs, 48, 1), same(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = same(inputs, 64, 1), same(64, 96, 3)
        self.branch3x3dbl_3 = same(96, 96, 3)
        self.branch_pool = same(inputs, pooled, 1)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        branches = [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(self.pooled(x))]
        return torch.cat(branches, 1)


class B(Mixed):
    def __init__(self, inputs):
        super().__init__()
        self.branch3x3 = Layer(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = same(inputs, 64, 1), same(64, 96, 3)
        self.branch3x3dbl_3 = Layer(96, 96, 3, stride=2)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class C(Mixed):
    def __init__(self, inputs, width, ported):
        super().__init__(ported)
        self.branch1x1 = same(inputs, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = same(inputs, width, 1), flat(width, width, 7)
        self.branch7x7_3 = tall(width, 192, 7)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = same(inputs, width, 1), tall(width, width, 7)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = flat(width, width, 7), tall(width, width, 7)
        self.branch7x7dbl_5 = flat(width, 192, 7)
        self.branch_pool = same(inputs, 192, 1)

    def forward(self, x):
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(self.pooled(x))], 1)


class D(Mixed):
    def __init__(self, inputs):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = same(inputs, 192, 1), Layer(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = same(inputs, 192, 1), flat(192, 192, 7)
        self.branch7x7x3_3, self.branch7x7x3_4 = tall(192, 192, 7), Layer(192, 192, 3, stride=2)

    def forward(self, x):
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), long, F.max_pool2d(x, 3, stride=2)], 1)


class E(Mixed):
    def __init__(self, inputs, ported, largest=False):
        super().__init__(ported)
        self.largest = largest
        self.branch1x1 = same(inputs, 320, 1)
        self.branch3x3_1 = same(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = flat(384, 384, 3), tall(384, 384, 3)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = same(inputs, 448, 1), same(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = flat(384, 384, 3), tall(384, 384, 3)
        self.branch_pool = same(inputs, 192, 1)

    def forward(self, x):
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        single = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        double = [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.largest else self.pooled(x)
        return torch.cat([self.branch1x1(x), *single, *double, self.branch_pool(pooled)], 1)


class Auxiliary(nn.Module):
    """Only trained with; it is in torchvision's file all the same."""

    def __init__(self, classes):
        super().__init__()
        self.conv0, self.conv1 = Layer(768, 128, 1), Layer(128, 768, 5)
        self.fc = nn.Linear(768, classes)


class Inception(nn.Module):
    def __init__(self, ported):
        super().__init__()
        classes = 1008 if ported else 1000
        self.Conv2d_1a_3x3 = Layer(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3, self.Conv2d_2b_3x3 = Layer(32, 32, 3), same(32, 64, 3)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Layer(64, 80, 1), Layer(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = A(192, 32, ported), A(256, 64, ported), A(288, 64, ported)
        self.Mixed_6a, self.Mixed_6b = B(288), C(768, 128, ported)
        self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = C(768, 160, ported), C(768, 160, ported), C(768, 192, ported)
        if not ported:
            self.AuxLogits = Auxiliary(classes)
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = D(768), E(1280, ported), E(2048, ported, ported)
        self.fc = nn.Linear(2048, classes)

    def features(self, x):
        """`[n, 3, 299, 299]` in [-1, 1] to `[n, 2048]`."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for block in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b, self.Mixed_6c):
            x = block(x)
        for block in (self.Mixed_6d, self.Mixed_6e, self.Mixed_7a, self.Mixed_7b, self.Mixed_7c):
            x = block(x)
        return x.mean((2, 3))
