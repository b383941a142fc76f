"""Makes the fixtures of `metrics.rs`: features.safetensors, and expected.json, what other programs make of them.

    python make.py        (numpy, scipy and scikit-image; it takes seconds)

The Fréchet distance is that of pytorch-fid (scipy's `sqrtm` of the product of the covariances), and once more from
the centred features themselves, without any covariance. Kernel distance and Inception score follow torch-fidelity,
precision and recall Kynkäänniemi et al. (2019), density and coverage clovaai's prdc. SSIM is scikit-image's. All pair
by pair, in double precision. The pictures are made by a formula, here and in `metrics.rs`.
"""

import json
import struct
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.signal
from skimage.metrics import structural_similarity

FOLDER = Path(__file__).parent


def features():
    """Pairs of sets [pictures, features], and logits, all f32."""
    random = np.random.default_rng(20240607)

    def rotation(size):
        return np.linalg.qr(random.normal(size=(size, size)))[0]

    mixing = random.normal(size=(16, 16)) / 4
    other = mixing + 0.075 * random.normal(size=(16, 16))
    wide = random.normal(size=(40, 40)) / 6
    scales = 10 ** np.linspace(0, -5, 16)
    first, second = rotation(16), rotation(16)
    sets = {
        "plain": (random.normal(size=(200, 16)) @ mixing + 1, random.normal(size=(160, 16)) @ other + 1.1),
        # Fewer pictures than features.
        "few": (np.abs(random.normal(size=(24, 40)) @ wide), np.abs(random.normal(size=(30, 40)) @ wide) + 0.2),
        # Variances from 1 to 1e-10, along different axes and along the same.
        "graded": (random.normal(size=(120, 16)) * scales @ first, random.normal(size=(120, 16)) * scales @ second),
        "aligned": (random.normal(size=(120, 16)) * scales @ first, random.normal(size=(90, 16)) * scales @ first * 1.2),
    }
    arrays = {}
    for name, (real, generated) in sets.items():
        arrays[f"{name}.real"] = real.astype(np.float32)
        arrays[f"{name}.generated"] = generated.astype(np.float32)
    arrays["logits"] = (random.normal(size=(60, 12)) * 2).astype(np.float32)
    return arrays


def frechet(real, generated):
    """As pytorch-fid."""
    first, second = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    distance = np.sum((real.mean(0) - generated.mean(0)) ** 2)
    return distance + np.trace(first) + np.trace(second) - 2 * np.trace(root).real


def frechet_of_features(real, generated):
    """The trace of the root is the sum of the singular values of the product of the centred features."""
    first = (real - real.mean(0)) / np.sqrt(len(real) - 1)
    second = (generated - generated.mean(0)) / np.sqrt(len(generated) - 1)
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return np.sum((real.mean(0) - generated.mean(0)) ** 2) + np.sum(first**2) + np.sum(second**2) - 2 * shared


def kernel_distance(real, generated):
    def kernel(left, right):
        return (left @ right.T / left.shape[1] + 1) ** 3

    def within(rows):
        matrix = kernel(rows, rows)
        return (matrix.sum() - np.trace(matrix)) / (len(rows) * (len(rows) - 1))

    return within(real) + within(generated) - 2 * kernel(real, generated).mean()


def inception_score(logits, splits):
    """Parts one after the other, as torch-fidelity has them; ours are dealt in turn, so rows change places first."""
    logits = np.concatenate([logits[start::splits] for start in range(splits)])
    logarithms = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    scores = []
    for part in np.split(logarithms, splits):
        probabilities = np.exp(part)
        marginal = np.log(probabilities.mean(0, keepdims=True))
        scores.append(np.exp((probabilities * (part - marginal)).sum(1).mean()))
    return {"mean": np.mean(scores), "standard_deviation": np.std(scores)}


def manifold(real, generated):
    def distances(left, right):
        return np.sqrt(((left[:, None] - right[None]) ** 2).sum(2))

    def radii(rows, neighbours):
        # The nearest is the picture itself.
        return np.sort(distances(rows, rows), axis=1)[:, neighbours]

    between = distances(real, generated)
    small, large, others = radii(real, 3), radii(real, 5), radii(generated, 3)
    return {
        "precision": (between <= small[:, None]).any(0).mean(),
        "recall": (between <= others[None]).any(1).mean(),
        "density": (between < large[:, None]).sum(0).mean() / 5,
        "coverage": (between.min(1) < large).mean(),
    }


def pictures(height, width, channels):
    """Two pictures of bytes, as f32 in [-1, 1]."""
    row, column, channel = np.mgrid[:height, :width, :channels]
    left = (row * column // 8 + 37 * channel + 5 * (row % 16) + 3 * (column % 24)) % 256
    blocks = 40 * ((row // 23 + column // 19 + channel) % 3)
    right = np.clip(left * 3 // 4 + blocks - 20 + (31 * row + 17 * column + 7 * channel) % 41, 0, 255)
    return [picture.astype(np.float32) / np.float32(127.5) - np.float32(1) for picture in (left, right)]


def ssim(height, width, channels):
    left, right = [(picture.astype(np.float64) + 1) / 2 for picture in pictures(height, width, channels)]
    common = {"data_range": 1.0, "channel_axis": 2}
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return {
        "shape": [height, width, channels],
        "gaussian": structural_similarity(left, right, **common, **gaussian),
        "uniform": structural_similarity(left, right, **common),
    }


def ms_ssim(height, width, channels):
    """Wang, Simoncelli and Bovik (2003), with one two-dimensional window; the last line of odd sides counts twice."""
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2

    def mean(values):
        return scipy.signal.convolve2d(values, window, mode="valid")

    def terms(left, right):
        a, b = mean(left), mean(right)
        variances = mean(left * left) - a * a + mean(right * right) - b * b
        contrast = (2 * (mean(left * right) - a * b) + 0.03**2) / (variances + 0.03**2)
        return (contrast * (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)).mean(), contrast.mean()

    def halved(values):
        values = np.pad(values, [(0, side % 2) for side in values.shape], mode="edge")
        return (values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]) / 4

    def similarity(left, right):
        product = 1.0
        for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
            structure, contrast = terms(left, right)
            product *= max(structure if scale == 4 else contrast, 0.0) ** weight
            left, right = halved(left), halved(right)
        return product

    left, right = [(picture.astype(np.float64) + 1) / 2 for picture in pictures(height, width, channels)]
    found = [similarity(left[..., channel], right[..., channel]) for channel in range(channels)]
    return {"shape": [height, width, channels], "ms_ssim": np.mean(found)}


def save(path, arrays):
    """Writes f32 arrays as safetensors."""
    header, data = {}, b""
    for name, array in arrays.items():
        raw = array.tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    arrays = features()
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    pairs = {name: (wide[f"{name}.real"], wide[f"{name}.generated"]) for name in ("plain", "few", "graded", "aligned")}
    expected = {
        "frechet": {name: frechet(*pair) for name, pair in pairs.items()},
        "frechet_of_features": {name: frechet_of_features(*pair) for name, pair in pairs.items()},
        "kernel_distance": {name: kernel_distance(*pair) for name, pair in pairs.items()},
        "manifold": {name: manifold(*pair) for name, pair in pairs.items()},
        "inception_score": inception_score(wide["logits"], 5),
        "ssim": [ssim(48, 61, 3), ssim(11, 40, 1)],
        "ms_ssim": [ms_ssim(176, 192, 1), ms_ssim(161, 175, 2)],
    }
    save(FOLDER / "features.safetensors", arrays)
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
