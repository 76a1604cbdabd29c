"""Light and cameras of many kinds: shadows, colour casts, blur, noise, sharpening, compression."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minispiral.data.synthetic.concrete import Surface
from minispiral.data.synthetic.painting import Field, noise, soft_step
from minispiral.data.transfer import values_of

DARKEST = 0.004  # of the light: no surface is blacker
GREY = 0.57  # pixel value that a camera's meter makes of a picture, on average ...
GREY_SD = 0.11  # ... and how far it is off


def expose(rng: np.random.Generator, surface: Surface, transfer: str) -> NDArray[np.uint8]:
    """Photograph the surface (h, w, 3): RGB with ``transfer``, after JPEG of quality 60 to 98."""
    light = np.maximum(surface.grey, DARKEST) * _illumination(rng, *surface.grey.shape)
    light *= np.float32(np.clip(rng.normal(GREY, GREY_SD), 0.25, 0.9) ** 2.2 / light.mean())
    cast = np.exp(rng.normal(0, 0.07 if rng.random() < 0.4 else 0.02, 3))
    tint = np.array([0.009, 0.002, -0.014]) * rng.uniform(0.5, 2)
    colours = (cast / cast.mean() + tint * surface.warmth[..., None]).astype(np.float32)
    rgb = blurred(light[..., None] * colours, _log_uniform(rng, 0.35, 1.3))
    grains = rng.standard_normal(rgb.shape, np.float32)
    if rng.random() < 0.3:  # interpolated from a colour filter, or denoised
        grains = 2 * blurred(grains, 0.7)
    shot = np.sqrt(np.maximum(rgb, 0.01) / np.float32(0.3))
    rgb += np.float32(_log_uniform(rng, 0.002, 0.02)) * grains * shot
    if rng.random() < 0.4:  # an unsharp mask
        rgb += np.float32(rng.uniform(0.2, 1.2)) * (rgb - blurred(rgb, rng.uniform(0.8, 1.5)))
    values = values_of(rgb.clip(0, 1), transfer)
    if rng.random() < 0.4:  # an S-curve
        values += np.float32(rng.uniform(0, 0.6)) * (values * values * (3 - 2 * values) - values)
    photo = np.clip(255 * values + 0.5, 0, 255).astype(np.uint8)
    compressed = io.BytesIO()
    Image.fromarray(photo).save(compressed, "JPEG", quality=int(rng.integers(60, 99)))
    return np.array(Image.open(compressed))


def blurred(field: Field, sigma: float) -> Field:
    """``field`` (h, w) or (h, w, c) after a Gaussian blur of ``sigma`` pixels."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        around = [(0, 0)] * field.ndim
        around[axis] = (reach, reach)
        padded = np.pad(field, around, mode="edge")
        length = field.shape[axis]
        field = np.zeros_like(field)
        for k, tap in enumerate(taps.astype(np.float32)):
            field += tap * padded[(slice(None),) * axis + (slice(k, k + length),)]
    return field


def _illumination(rng: np.random.Generator, height: int, width: int) -> Field:
    """The light on the wall (h, w): uneven, darker in the corners, with shadows sharp and soft."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]

    def slope() -> Field:
        direction = rng.uniform(0, 2 * np.pi)
        return x * np.float32(np.cos(direction)) + y * np.float32(np.sin(direction))

    light: Field = np.exp(np.float32(rng.normal(0, 0.15)) * slope())
    if rng.random() < 0.3:
        light *= 1 - np.float32(rng.uniform(0, 0.35)) * (x**2 + y**2) / 2
    for _ in range(rng.poisson(0.35)):
        longer = max(height, width)
        ragged = noise(rng, light.shape, longer / 2, longer / float(rng.choice([16, 64])))
        edge = slope() + np.float32(rng.choice([0.04, 0.3])) * ragged
        shadow = soft_step(edge, rng.uniform(-0.6, 0.8), np.exp(rng.uniform(1, 4.5)))
        light *= 1 - np.float32(rng.uniform(0.15, 0.7)) * shadow
    return light


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
