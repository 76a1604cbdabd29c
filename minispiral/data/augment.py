"""Patches as other cameras, distances and lights would have shown them.

Of each patch, by a generator of its own:

- turned by a quarter, at even odds: with the flips of training all eight ways to lay a square;
- from a window 1 / 1.4 to 1 / 0.7 times as wide, uniformly in the logarithm of the scale, shrunk or
  enlarged to the patch; of a photograph that is smaller than the window, as much as there is;
- contrast times exp(-0.35) to exp(0.35) about the mean, brightness up or down by as much as 30 of
  255, each of the three colours times 0.93 to 1.07;
- then at even odds each: Gaussian blur of up to 1.2 pixels, Gaussian noise of up to 8 of 255, and
  JPEG of quality 40 to 95.

The same generator gives the same bits wherever Pillow and NumPy are the same.
"""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SCALES = (0.7, 1.4)
CONTRAST, BRIGHTNESS, COLOUR = 0.35, 30.0, 0.07
BLUR, NOISE, QUALITIES = 1.2, 8.0, (40, 95)


def window_side(patch: int, rng: np.random.Generator) -> int:
    """The side of the window to make a patch of, for a scale drawn from `SCALES`."""
    low, high = map(math.log, SCALES)
    return round(patch / math.exp(low + (high - low) * rng.random()))


def augment(
    window: Pixels, mask: Mask, patch: int, rng: np.random.Generator
) -> tuple[Pixels, Mask]:
    """Pixels (p, p, 3) and mask (p, p) made of a square window (s, s, 3) and its mask (s, s)."""
    if rng.random() < 0.5:
        window, mask = np.rot90(window), np.rot90(mask)
    picture = Image.fromarray(np.ascontiguousarray(window))
    picture = picture.resize((patch, patch), Image.Resampling.BILINEAR)
    return _photographed(picture, rng), resized_mask(mask, patch)


def resized_mask(mask: Mask, patch: int) -> Mask:
    """A square mask (s, s) in another size (p, p), without losing a line.

    Enlarged, a pixel is crack where the one at its place was. Made smaller, it is crack where any
    of those whose centres fall into it was: a line one pixel wide stays whole and one pixel wide,
    one of w pixels becomes (w - 1) p / s + 1 wide on average.
    """
    side = len(mask)
    if patch >= side:
        at = (2 * np.arange(patch) + 1) * side // (2 * patch)
        return mask[np.ix_(at, at)]
    to = (2 * np.arange(side) + 1) * patch // (2 * side)
    rows, columns = np.nonzero(mask)
    small = np.zeros((patch, patch), np.bool_)
    small[to[rows], to[columns]] = True
    return small


def _photographed(picture: Image.Image, rng: np.random.Generator) -> Pixels:
    """The picture in another light, by another camera."""
    levels = np.arange(256) - np.asarray(picture).mean()
    levels = levels * math.exp(rng.uniform(-CONTRAST, CONTRAST)) - levels[0]
    levels += rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    gains = rng.uniform(1 - COLOUR, 1 + COLOUR, 3)
    table = np.clip(np.rint(np.multiply.outer(gains, levels)), 0, 255).astype(np.uint8)
    picture = picture.point(table.reshape(-1).tolist())
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, BLUR)))
    pixels = np.array(picture)
    if rng.random() < 0.5:
        noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, NOISE))
        pixels = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        file = io.BytesIO()
        quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        pixels = np.array(Image.open(file))
    return pixels
