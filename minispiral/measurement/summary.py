"""Mean, 95 % quantile and maximum width of a crack from its places, each with its interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats
from minispiral.measurement.learning import Widths
from minispiral.measurement.records import Estimate
from minispiral.measurement.settings import Settings

QUANTILE_SD = 0.12  # px: what noise adds to a quantile near the top of few places


@dataclass(frozen=True)
class Summary:
    """``place``: the number of the window of the maximum, -1 without any."""

    mean: Estimate
    p95: Estimate
    maximum: Estimate
    place: int


def summary(widths: Widths, counted: NDArray[np.intp], settings: Settings) -> Summary:
    """Of the windows ``counted`` (their numbers, in the order along the crack).

    Under one hypothesis on blur and contrast the errors of windows that do not overlap average
    out; what all share, the hypothesis itself, does not. The interval of the mean is that of the
    mixture of normal distributions over the hypotheses, widened by the model's own share. The
    widest of many noisy windows is wide by noise, so p95 and maximum are those of medians of three
    in a row; p95 has the mean's interval, relative to its value, and the noise of a quantile on
    top; the maximum has the interval of its window.
    """
    if not len(counted):
        return Summary(Estimate(), Estimate(), Estimate(), -1)
    w = widths.value[counted]
    means = widths.means[counted].mean(axis=0)
    independent = max(1.0, len(counted) * settings.hop / settings.window)
    sds = np.sqrt(widths.variances[counted].mean(axis=0) / independent)
    mean = float(w.mean())
    low, high = _mixture(means, np.maximum(sds, 1e-3), widths.weights)
    extra = 1.96 * float(np.hypot(settings.model_share * mean, settings.model_error))
    low, high = mean - np.hypot(mean - low, extra), mean + np.hypot(high - mean, extra)
    steady = np.median([w[:-2], w[1:-1], w[2:]], axis=0) if len(w) > 4 else w
    p95 = float(np.quantile(steady, 0.95))
    noise = 1.96 * QUANTILE_SD
    below, above = (abs(edge - mean) / mean * p95 for edge in (low, high))
    top = int(steady.argmax())
    place = int(counted[top + (1 if len(w) > 4 else 0)])
    maximum = float(steady[top])
    # The median's own window lies beside the place where noise put it.
    offset = maximum - widths.value[place]
    return Summary(
        _estimate(mean, low, high),
        _estimate(p95, p95 - np.hypot(below, noise), p95 + np.hypot(above, noise)),
        _estimate(maximum, widths.low[place] + offset, widths.high[place] + offset),
        place,
    )


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, max(0.0, float(low)), float(high))


def _mixture(means: Floats, sds: Floats, weights: Floats) -> tuple[float, float]:
    """Where a mixture of normal distributions reaches 2.5 and 97.5 %."""
    from scipy.special import ndtr

    x = np.linspace((means - 4 * sds).min(), (means + 4 * sds).max(), 800)
    reached = ndtr((x[:, None] - means) / sds) @ weights
    low, high = np.interp([0.025, 0.975], reached, x)
    return float(low), float(high)
