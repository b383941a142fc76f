"""Makes the pictures that `prepare.rs` compares with: what OpenCV, scikit-image and Pillow make of `picture.png`.

    python pictures.py      (opencv-python-headless, scikit-image, Pillow)

picture.png              shapes with sharp and soft borders, and a little noise, in colour
canny.png                cv2.Canny(picture, 100, 200)
canny-blurred.png        cv2.Canny(cv2.GaussianBlur(picture, (5, 5), 0), 40, 110)
canny-euclidean.png      cv2.Canny(picture, 60.5, 150, L2gradient=True)
canny-authors.png        skimage.feature.canny(rgb2gray(x), sigma=2), as ImageNetEdges (taming/data/imagenet.py) has it
quarter.png, back.png    Pillow's BICUBIC down to a quarter of the sides, and back up to them, as `imscale` there does
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.color import rgb2gray
from skimage.feature import canny

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 75, 58


def picture():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    image = np.zeros((HEIGHT, WIDTH, 3)) + [60, 90, 120]
    image += np.clip((x - 40 + 6 * np.sin(y / 5)) * 12, 0, 90)[..., None] * [1.0, 0.4, -0.5]
    disc = np.clip((15 - np.hypot(x - 22, y - 20)) / 3, 0, 1)[..., None]
    image = image * (1 - disc) + disc * [220, 60, 40]
    image[34:50, 12:30] = [30, 200, 90]
    image[np.abs(x - y - 14) < 1.5] = [250, 250, 240]
    image += np.random.default_rng(3).normal(0, 6, image.shape)
    # Multiples of four take less room.
    return (np.clip(image, 0, 255) // 4 * 4).astype(np.uint8)


def save(name, array):
    Image.fromarray(array).save(FOLDER / name, optimize=True)
    print(f"{name}: {(FOLDER / name).stat().st_size} bytes, {np.count_nonzero(array) / array.size:.1%} not 0")


if __name__ == "__main__":
    image = picture()
    save("picture.png", image)
    save("canny.png", cv2.Canny(image, 100, 200))
    save("canny-blurred.png", cv2.Canny(cv2.GaussianBlur(image, (5, 5), 0), 40, 110))
    save("canny-euclidean.png", cv2.Canny(image, 60.5, 150, L2gradient=True))
    floats = (image / 127.5 - 1.0).astype(np.float32)
    save("canny-authors.png", canny(rgb2gray(floats), sigma=2).astype(np.uint8) * 255)
    small = Image.fromarray(image).resize((WIDTH // 4, HEIGHT // 4), Image.BICUBIC)
    save("quarter.png", np.array(small))
    save("back.png", np.array(small.resize((WIDTH, HEIGHT), Image.BICUBIC)))
