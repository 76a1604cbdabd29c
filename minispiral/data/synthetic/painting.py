"""Random fields and strokes, with which synthetic photographs are painted."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]


def noise(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    coarse: float,
    fine: float,
    stretch: float = 1.0,
) -> Field:
    """A smooth random field of ``shape`` (h, w) with mean 0 and standard deviation about 1.

    It sums octaves of equal amplitude, whose cells shrink by halves from ``coarse`` pixels to
    ``fine``; cells are ``stretch`` times as high as wide. Each octave is added at its own
    resolution and the sum upsampled to the next, so all of them cost little more than the finest.
    """
    height, width = shape
    octaves = 1 + int(np.log2(coarse / fine))
    field = np.zeros((1, 1), np.float32)
    for octave in range(octaves):
        cell = coarse / 2**octave
        rows = max(1, round(height / (cell * stretch)))
        cols = max(1, round(width / cell))
        field = _resize(field, rows, cols) + rng.standard_normal((rows, cols), np.float32)
    return _resize(field, height, width) / np.float32(0.8 * np.sqrt(octaves))


def noise_1d(rng: np.random.Generator, count: int, coarse: int, fine: int) -> NDArray[np.float64]:
    """One-dimensional `noise` of ``count`` values, interpolated linearly."""
    values: NDArray[np.float64] = np.zeros(count)
    octaves = 1 + int(np.log2(coarse / fine))
    for octave in range(octaves):
        cell = coarse / 2**octave
        knots = rng.standard_normal(int(count / cell) + 3)
        values += np.interp(np.arange(count) / cell + rng.random(), np.arange(len(knots)), knots)
    values /= 0.8 * np.sqrt(octaves)
    return values


def draw_stroke(
    canvas: Field,
    points: NDArray[np.float64],
    widths: NDArray[np.float64],
    strength: NDArray[np.float64] | float = 1.0,
) -> None:
    """Draw a polyline of varying width onto ``canvas`` (h, w), keeping the maximum.

    A pixel at distance d from the line receives
    ``strength * clip(width/2 + 1/2 - d, 0, min(width, 1))``, the share of it that the line covers:
    a line thinner than a pixel becomes fainter, not wider. ``points`` (n, 2) are x, y in pixels
    from the top left corner, where the centre of the first pixel is 0.5, 0.5. ``widths`` (n,) are
    in pixels. Parts outside the canvas are clipped.
    """
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    dense = np.linspace(0, along[-1], max(2, int(2 * along[-1]) + 1))  # half a pixel apart
    x, y, wide, strong = (
        np.interp(dense, along, values)[:, None, None]
        for values in (*points.T, widths, np.broadcast_to(strength, widths.shape))
    )
    reach = int(np.ceil(widths.max() / 2 + 0.5))
    near = np.arange(-reach, reach + 1)
    cols = np.floor(x).astype(np.intp) + near[None, None, :]
    rows = np.floor(y).astype(np.intp) + near[None, :, None]
    distance = np.hypot(cols + 0.5 - x, rows + 0.5 - y)  # (dense points, rows, cols)
    value = strong * np.clip(wide / 2 + 0.5 - distance, 0, np.minimum(wide, 1))
    rows, cols = np.broadcast_arrays(rows, cols)
    height, width = canvas.shape
    inside = (value > 0) & (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    np.maximum.at(canvas, (rows[inside], cols[inside]), value[inside].astype(np.float32))


def soft_step(field: Field, threshold: Field | float, slope: float) -> Field:
    """A ramp from 0 to 1, of width ``1 / slope``, centred on the threshold."""
    ramp: Field = (field - threshold) * np.float32(slope) + np.float32(0.5)
    return ramp.clip(0, 1)


def _resize(field: Field, height: int, width: int) -> Field:
    if field.shape == (height, width):
        return field
    image = Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.float32)
