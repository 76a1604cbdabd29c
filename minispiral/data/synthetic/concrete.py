"""Board-marked concrete without cracks, and the camera that photographs it.

Everything is drawn from a random generator. What covers the photograph is made of random fields;
small features such as holes and scratches are drawn one by one, so many per megapixel. A pixel
covers the same area of the wall whatever the size of the photograph: a larger photograph shows
more concrete, not larger pores.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.synthetic.painting import Field, draw_stroke, noise, noise_1d, soft_step
from minispiral.data.transfer import values_of


@dataclass
class Surface:
    """A wall seen head-on; its arrays are painted on in place.

    ``grey`` (h, w): the reflectance, 0 for black to 1 for white.
    ``warmth`` (h, w): the tint, positive towards brown and rust, negative towards blue.
    ``joints`` (h, w): True on the joints between formwork boards.
    """

    grey: Field
    warmth: Field
    joints: NDArray[np.bool_]


def make_surface(rng: np.random.Generator, height: int, width: int) -> Surface:
    """Paint ``height`` x ``width`` pixels of concrete with all its usual marks except cracks."""
    upright = rng.random() < 0.75
    shape = (height, width) if upright else (width, height)
    boards = Surface(
        np.full(shape, rng.uniform(0.6, 0.74), np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.bool_),
    )
    _imprint_grain(rng, boards)
    _lay_boards(rng, boards)
    surface = boards
    if not upright:
        surface = Surface(boards.grey.T.copy(), boards.warmth.T.copy(), boards.joints.T.copy())
    _mottle(rng, surface)
    _stain(rng, surface)
    _speckle(rng, surface)
    _scratch(rng, surface)
    _pit(rng, surface)
    return surface


def photograph(
    rng: np.random.Generator, surface: Surface, transfer: str = "srgb"
) -> NDArray[np.uint8]:
    """Light the surface and photograph it: (h, w, 3) RGB with blur and sensor noise.

    ``transfer``: pixel values stand for light as cameras write them, ``srgb``, or in proportion to
    it, ``linear``.
    """
    height, width = surface.grey.shape
    exposed = surface.grey * _light(rng, height, width)
    _blur(exposed, rng.uniform(0.04, 0.14))
    sensor_noise = rng.uniform(0.006, 0.013)
    photo = np.empty((height, width, 3), np.uint8)
    concrete = ((1.0, 0.009), (1.008, 0.002), (0.965, -0.014))  # greenish grey, and its tint
    for channel, (gain, tint) in enumerate(concrete):
        values = exposed * (rng.normal(gain, 0.008) + tint * surface.warmth)
        values += sensor_noise * rng.standard_normal(values.shape, np.float32)
        photo[..., channel] = np.clip(255 * values_of(values, transfer) + 0.5, 0, 255)
    return photo


def dig_hole(rng: np.random.Generator, surface: Surface, x: float, y: float, radius: float) -> None:
    """Dig a hole with an uneven rim, lit from above: its upper edge shaded, its lower edge lit."""
    height, width = surface.grey.shape
    reach = int(1.8 * radius + 3)
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    window = (slice(top, min(height, int(y) + reach)), slice(left, min(width, int(x) + reach)))
    grey = surface.grey[window]
    dx = np.arange(left, left + grey.shape[1]) + 0.5 - x
    dy = (np.arange(top, top + grey.shape[0]) + 0.5 - y)[:, None]
    angle = np.arctan2(dy, dx)  # (rows, cols)
    rim = np.ones_like(angle)
    for harmonic in range(1, 9):
        swing = rng.normal(0, 0.4 / harmonic**1.3)
        rim += swing * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    rim = radius * np.clip(rim, 0.4, 1.7)
    distance = np.hypot(dx, dy)
    if radius > 4:  # broken edges
        distance += 0.16 * radius * noise(rng, grey.shape, coarse=radius, fine=2)
    inside = np.clip(rim - distance + 0.5, 0, min(1.0, 1.5 * radius))
    lowness = np.clip(dy / (radius + 1), -1, 1)
    floor = np.clip(rng.uniform(0.15, 0.6) + 0.25 * lowness, 0.1, 0.9)
    if radius > 9:  # a spall: light reaches the rough inside of the concrete
        depth = lowness + 0.5 + 0.4 * noise(rng, grey.shape, coarse=16, fine=1)
        floor = np.clip(0.6 + 0.6 * depth, 0.15, 1.1)
    lip = np.exp(-((distance - rim - 1) ** 2)) * np.clip(lowness, 0, 1)
    grey *= (1 - inside * (1 - floor) + 0.12 * lip * (1 - inside)).astype(np.float32)


def _imprint_grain(rng: np.random.Generator, surface: Surface) -> None:
    """Imprint the growth rings of the boards: wavy lines along y, some of them closed."""
    shape = surface.grey.shape
    width = shape[1]
    across = noise(rng, shape, coarse=128, fine=32, stretch=6) * rng.uniform(4, 14)
    across += np.arange(width, dtype=np.float32)
    rings = noise_1d(rng, width + 256, coarse=16, fine=2).astype(np.float32)
    strength = soft_step(noise(rng, shape, coarse=256, fine=64, stretch=3), 0.3, 0.8)
    strength *= min(0.05, rng.exponential(0.015))
    surface.grey *= 1 + strength * rings[np.clip(across + 128, 0, width + 255).astype(np.intp)]
    fibres = noise(rng, shape, coarse=8, fine=1, stretch=rng.uniform(8, 20))
    surface.grey *= 1 + np.float32(rng.uniform(0.002, 0.015)) * fibres


def _lay_boards(rng: np.random.Generator, surface: Surface) -> None:
    """Give each board its own tone, and draw the joints between them along y."""
    height, width = surface.grey.shape
    if rng.random() < 0.25:
        return
    pitch = rng.uniform(80, 360)
    roll = rng.normal(0, 0.008)  # of a camera that was not quite level
    x = rng.uniform(0.1, 1) * pitch
    while x < width:
        _draw_joint(rng, surface, x + roll * np.arange(height))
        x += pitch * rng.uniform(0.6, 1.3)


def _draw_joint(rng: np.random.Generator, surface: Surface, line: NDArray[Any]) -> None:
    """Draw one joint along ``line``, which gives x in pixels for each row."""
    height, width = surface.grey.shape
    kind = rng.choice(["open", "tight", "ridge"], p=[0.25, 0.5, 0.25])
    ragged = 0.25 if kind == "tight" else 0.5
    line = line + noise_1d(rng, height, 256, 64) + ragged * noise_1d(rng, height, 8, 2)
    middle, size = {"open": (3.5, 0.35), "tight": (1.0, 0.4), "ridge": (1.5, 0.3)}[kind]
    wide = middle * np.exp(size * rng.normal() + 0.2 * noise_1d(rng, height, 128, 2))
    depth = rng.uniform(0.2, 0.55) + 0.15 * noise_1d(rng, height, 128, 8)
    depth = np.clip(depth + (0.3 if kind == "open" else 0.0), 0.0, 0.88)

    left, right = max(0, int(line.min()) - 20), min(width, int(line.max()) + 20)
    if left >= right:
        return
    aside = np.arange(left, right) + 0.5 - line[:, None]  # signed distance, (h, columns)
    covered = np.clip(wide[:, None] / 2 + 0.5 - abs(aside), 0, np.minimum(wide, 1)[:, None])
    shade = 1 - depth[:, None] * covered
    edge = np.exp(-(((abs(aside) - wide[:, None] / 2 - 2) / 1.5) ** 2))
    shade += edge * np.where(aside * rng.choice([-1, 1]) > 0, 0.06, -0.05)
    if kind == "ridge":
        ridge = np.clip(2.0 - abs(aside - rng.choice([-1, 1]) * (wide[:, None] + 1)), 0, 1)
        shade += rng.uniform(0.05, 0.16) * ridge
    shade -= rng.uniform(0, 0.08) * np.exp(-abs(aside) / rng.uniform(3, 9))  # dirt
    tone = rng.normal(0, 0.02)  # of the next board
    shade *= 1 + tone * np.clip(aside + 0.5, 0, 1)
    surface.grey[:, left:right] *= shade.astype(np.float32)
    surface.grey[:, right:] *= np.float32(1 + tone)
    surface.warmth[:, right:] += np.float32(rng.normal(0, 0.3))
    surface.joints[:, left:right] |= abs(aside) < np.maximum(wide / 2 + 0.5, 1.5)[:, None]


def _mottle(rng: np.random.Generator, surface: Surface) -> None:
    """Vary the tone of the cement at every scale, from that of the photograph to that of sand."""
    shape = surface.grey.shape
    clouds = noise(rng, shape, coarse=512, fine=8)
    surface.grey *= 1 + np.float32(rng.uniform(0.015, 0.035)) * clouds
    sand = noise(rng, shape, coarse=4, fine=1)
    surface.grey *= 1 + np.float32(rng.uniform(0.02, 0.045)) * sand
    surface.warmth += noise(rng, shape, coarse=512, fine=16)


def _stain(rng: np.random.Generator, surface: Surface) -> None:
    """Leave the traces of water: fine streaks, broad dark runs, pale lime and brown dirt."""
    shape = surface.grey.shape
    streaks = noise(rng, shape, coarse=64, fine=2, stretch=rng.uniform(10, 25))
    surface.grey *= 1 + np.float32(min(0.03, rng.exponential(0.01))) * streaks
    ragged = 0.3 * noise(rng, shape, coarse=32, fine=4, stretch=3)
    for tone, chance in ((-rng.uniform(0.08, 0.25), 0.35), (rng.uniform(0.05, 0.15), 0.35)):
        if rng.random() < chance:
            runs = noise(rng, shape, coarse=128, fine=16, stretch=rng.uniform(3, 10))
            runs = soft_step(runs + ragged, rng.uniform(0.9, 1.6), rng.uniform(0.8, 4))
            surface.grey *= 1 + np.float32(tone) * runs * (np.float32(0.9) + ragged)
    if rng.random() < 0.3:
        dirt = noise(rng, shape, coarse=256, fine=4, stretch=2)
        dirt = soft_step(dirt, rng.uniform(1.2, 1.8), rng.uniform(0.8, 2))
        surface.grey *= 1 - np.float32(rng.uniform(0.05, 0.2)) * dirt
        surface.warmth += np.float32(rng.uniform(1, 5)) * dirt


def _speckle(rng: np.random.Generator, surface: Surface) -> None:
    """Leave grey flecks where the skin of the cement has come off, in clusters."""
    shape = surface.grey.shape
    crowd = noise(rng, shape, coarse=256, fine=64)
    for coarse, fine, threshold in ((24, 2, 1.9), (6, 1.5, 2.3)):
        flecks = noise(rng, shape, coarse, fine, stretch=rng.uniform(0.8, 2.2))
        flecks = soft_step(flecks, rng.normal(threshold, 0.2) - 0.45 * crowd, rng.uniform(2, 5))
        surface.grey *= 1 - np.float32(rng.uniform(0.04, 0.24)) * flecks


def _scratch(rng: np.random.Generator, surface: Surface) -> None:
    """Scratch the surface: straight or slightly bent, dark or pale, of even width."""
    height, width = surface.grey.shape
    dark, pale = np.zeros_like(surface.grey), np.zeros_like(surface.grey)
    preferred = rng.uniform(0, np.pi)
    for _ in range(rng.poisson(rng.gamma(2, 10) * height * width / 1e6)):
        length = 15 * np.exp(rng.exponential(0.9))
        turn = np.linspace(0, rng.normal(0, 0.15), 9)
        heading = rng.normal(preferred, 0.7) + turn
        steps = length / 8 * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        points = rng.uniform((0, 0), (width, height)) + np.cumsum(steps, axis=0)
        taper = np.sin(np.linspace(0.2, np.pi - 0.2, 9))
        canvas = dark if rng.random() < 0.65 else pale
        draw_stroke(canvas, points, rng.uniform(0.6, 1.8) * taper, rng.uniform(0.08, 0.32))
    surface.grey *= 1 - dark + pale


def _pit(rng: np.random.Generator, surface: Surface) -> None:
    """Leave the bug holes of trapped air and a few spalls, some with rust below them."""
    height, width = surface.grey.shape
    megapixels = height * width / 1e6
    for _ in range(rng.poisson(np.exp(rng.normal(5.6, 0.8)) * megapixels)):
        x, y = rng.uniform((0, 0), (width, height))
        dig_hole(rng, surface, x, y, min(8.0, 0.55 + 0.45 * rng.pareto(1.7)))
    for _ in range(rng.poisson(rng.exponential(2.0) * megapixels)):
        x, y = rng.uniform((0, 0), (width, height))
        radius = 6 + min(24.0, rng.exponential(8))
        dig_hole(rng, surface, x, y, radius)
        if rng.random() < 0.4:
            _rust(rng, surface, x, y, radius)


def _rust(rng: np.random.Generator, surface: Surface, x: float, y: float, radius: float) -> None:
    """Let rust run down from (x, y)."""
    height, width = surface.grey.shape
    length = int(rng.uniform(3, 8) * radius)
    half = int(1.5 * radius)
    rows = slice(int(y), min(height, int(y) + length))
    cols = slice(max(0, int(x) - half), min(width, int(x) + half))
    down = (np.arange(rows.start, rows.stop)[:, None] - y) / length
    aside = (np.arange(cols.start, cols.stop) - x) / (0.6 * radius)
    run = (np.exp(-(aside**2)) * (1 - down)).astype(np.float32)
    if run.size == 0:
        return
    run *= soft_step(noise(rng, run.shape, coarse=32, fine=2, stretch=3), -0.3, 0.7)
    surface.warmth[rows, cols] += 7 * run
    surface.grey[rows, cols] *= 1 - 0.15 * run


def _light(rng: np.random.Generator, height: int, width: int) -> Field:
    """The illumination of the wall (h, w): uneven, and sometimes with the edge of a shadow."""
    direction = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(np.cos(direction))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(np.sin(direction))
    slope = x + y  # (h, w), from about -1 to 1
    light = 1 + np.float32(rng.uniform(0, 0.08)) * slope
    light *= np.float32(rng.uniform(0.9, 1.12))
    if rng.random() < 0.2:
        longer = max(height, width)
        edge = slope + 0.04 * noise(rng, slope.shape, coarse=longer / 2, fine=longer / 16)
        shadow = soft_step(edge, rng.uniform(-0.6, 0.8), rng.uniform(3, 60))
        light *= 1 - np.float32(rng.uniform(0.15, 0.45)) * shadow
    return light


def _blur(field: Field, side: float) -> None:
    """Blur in place along both axes with the weights ``side, 1 - 2 * side, side``."""
    for view in (field, field.T):
        padded = np.pad(view, ((1, 1), (0, 0)), mode="edge")
        view *= np.float32(1 - 2 * side)
        view += np.float32(side) * padded[:-2]
        view += np.float32(side) * padded[2:]
