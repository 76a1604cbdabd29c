"""What a camera sees of a crack: a bar, convolved with the blur and the pixel."""

import numpy as np

from minispiral.measurement.curves import Floats


def bar(d: Floats, width: Floats, blur: float) -> Floats:
    """The share of a pixel at distance ``d`` that a crack of ``width`` covers, as the camera sees.

    A bar of ``width`` convolved with a pixel of 1 px and with a Gaussian of standard deviation
    ``blur``; its integral over d is ``width``. With R the integral of the normal distribution
    function,

        R(x) = x Phi(x / blur) + blur phi(x / blur),
        bar(d) = R(d + a) - R(d + b) - R(d - b) + R(d - a),  a = (w + 1) / 2,  b = (w - 1) / 2.

    ``d`` and ``width`` are broadcast.
    """
    a, b = (width + 1) / 2, (width - 1) / 2
    return _ramp(d + a, blur) - _ramp(d + b, blur) - _ramp(d - b, blur) + _ramp(d - a, blur)


def _ramp(x: Floats, sigma: float) -> Floats:
    from scipy.special import ndtr

    z = x / sigma
    return np.asarray(x * ndtr(z) + sigma / np.sqrt(2 * np.pi) * np.exp(-0.5 * z * z))
