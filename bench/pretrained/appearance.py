"""What a photograph and its mask look like, in numbers.

Pixel values are as stored, 0 to 1, since that is what a network sees; the depth of a crack alone is
one of light, as the widths of `minispiral.measurement` are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minispiral.data.thinning import thin
from minispiral.data.transfer import light_of
from minispiral.detection.neighbourhoods import dilate

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW = 25  # pixels, odd: the side of the square that is a pixel's surroundings ...
MARGIN = 4  # ... without what lies so near the label, which may be crack or its rim ...
CLEAR = 0.2  # ... and the share of it that has to be left
SHORT = 20  # pixels of the line of a crack, too few to judge by
STEP = 1 / 255 / 12**0.5  # deviation that rounding to bytes makes
SIDE = 320  # pixels, at most, of the square whose spectrum is taken
FIT = (1 / 32, 1 / 4)  # cycles a pixel: where the slope of the spectrum is fitted
HIGH, HIGHEST = (0.2, 0.28), (0.4, 0.5)  # cycles a pixel: the bands that sharpness compares


def appearance(photo: NDArray[np.uint8], mask: Mask) -> dict[str, float]:
    """Statistics of a photograph (h, w, 3) and its mask (h, w).

    ``crack_share``  labelled pixels, in % of all
    ``width``        pixels of the label for each pixel of its line's length
    ``depth``        median over the label's line of 1 - light / mean light of the surroundings
    ``deviations``   median over the line of (mean - grey) / standard deviation of the surroundings
    ``grain``        standard deviation of grey - mean of the surroundings, off the crack, / mean
    ``brightness``   mean grey
    ``saturation``   (max - min) / max of the mean red, green and blue
    ``slope``        s of the power spectrum f^-s, for periods of 4 to 32 pixels; noise has 0
    ``sharpness``    power at 0.4 to 0.5 cycles a pixel / power at 0.2 to 0.28; noise has 1

    Grey is the mean of the channels. The line of a label is the label thinned, which lies on the
    crack however wide the label is; a label of less than 20 pixels of line has no ``width``,
    ``depth`` and ``deviations``, nor has one that fills its surroundings the last two. Surroundings
    of a pixel are the square of 25 x 25 pixels about it without what is within 4 pixels of the
    label.
    """
    values = photo / 255
    grey = values.mean(axis=2)
    clear = ~dilate(mask, MARGIN)
    colour = values.mean(axis=(0, 1))
    noise = (grey - surroundings(grey, clear).mean)[clear]
    return {
        "crack_share": 100 * float(mask.mean()),
        **_crack(values, grey, mask, clear),
        "grain": float(noise.std() / max(grey.mean(), STEP)) if noise.size else 0.0,
        "brightness": float(grey.mean()),
        "saturation": float(np.ptp(colour) / max(colour.max(), STEP)),
        **_spectrum(grey),
    }


def _crack(values: Floats, grey: Floats, mask: Mask, clear: Mask) -> dict[str, float]:
    """Width, depth and deviations, those of them that the label is long enough for."""
    line = thin(mask)
    if np.count_nonzero(line) < SHORT:
        return {}
    found = {"width": int(np.count_nonzero(mask)) / length(line)}
    light = light_of(values, "srgb").mean(axis=2)
    lit, seen = surroundings(light, clear), surroundings(grey, clear)
    at = line & (seen.share >= CLEAR)
    if at.any():
        darker = (seen.mean - grey)[at] / seen.deviation[at].clip(STEP)
        found["depth"] = float(np.median(1 - light[at] / lit.mean[at].clip(STEP)))
        found["deviations"] = float(np.median(darker))
    return found


class Surroundings(NamedTuple):
    """Of each pixel, (h, w): the share of the square that is clear; mean and deviation there."""

    share: Floats
    mean: Floats
    deviation: Floats


def surroundings(values: Floats, clear: Mask) -> Surroundings:
    """What is about each pixel in the squares of `WINDOW` pixels, cut off at the border."""
    inside, pixels = _sums(np.ones_like(values)), _sums(clear.astype(float))
    mean = _sums(values * clear) / pixels.clip(1)
    square = _sums(np.square(values) * clear) / pixels.clip(1)
    return Surroundings(pixels / inside, mean, np.sqrt((square - np.square(mean)).clip(0)))


def _sums(values: Floats) -> Floats:
    """Over the square of `WINDOW` pixels about each pixel, (h, w); beyond the border is nothing."""
    for _ in range(2):  # along the rows, then along the columns
        ahead, behind = WINDOW // 2, WINDOW // 2 + 1
        total = np.pad(values, ((0, 0), (behind, ahead))).cumsum(axis=1)
        values = (total[:, WINDOW:] - total[:, :-WINDOW]).T
    return values


def length(line: Mask) -> float:
    """Of lines one pixel wide, in pixels: 1 for a step along an axis, sqrt 2 for a diagonal one."""
    across, down = line[:, 1:] & line[:, :-1], line[1:] & line[:-1]
    falling = line[1:, 1:] & line[:-1, :-1] & ~line[1:, :-1] & ~line[:-1, 1:]
    rising = line[1:, :-1] & line[:-1, 1:] & ~line[1:, 1:] & ~line[:-1, :-1]
    straight, diagonal = (
        sum(map(np.count_nonzero, steps)) for steps in ((across, down), (falling, rising))
    )
    return float(max(straight + 2**0.5 * diagonal, 1.0))


def _spectrum(grey: Floats) -> dict[str, float]:
    """Slope and sharpness, from the middle of the picture."""
    side = min(*grey.shape, SIDE)
    top, left = ((whole - side) // 2 for whole in grey.shape)
    middle = grey[top : top + side, left : left + side]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.rfft2(window * (middle - middle.mean()))) ** 2
    power = power.clip(1e-12)  # of a picture without any contrast
    frequency = np.hypot(np.fft.fftfreq(side)[:, np.newaxis], np.fft.rfftfreq(side))

    def band(low: float, high: float) -> Mask:
        found: Mask = (frequency >= low) & (frequency < high)
        return found

    fitted = band(*FIT)
    slope, _ = np.polyfit(np.log(frequency[fitted]), np.log(power[fitted]), 1)
    sharpness = power[band(*HIGHEST)].mean() / power[band(*HIGH)].mean()
    return {"slope": -float(slope), "sharpness": float(sharpness)}
