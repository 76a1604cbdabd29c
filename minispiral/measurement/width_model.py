"""How likely each width is, given a profile, a blur and a contrast."""

import numpy as np

from minispiral.measurement.bar import bar
from minispiral.measurement.curves import Floats
from minispiral.measurement.settings import Settings


def width_grid(settings: Settings) -> Floats:
    """The widths that are compared, px: finer where cracks are narrow."""
    return np.concatenate(
        [np.arange(0.05, 2, 0.05), np.arange(2, 4, 0.1), np.arange(4, settings.widest + 0.01, 0.2)]
    )


def width_prior(widths: Floats, settings: Settings) -> Floats:
    """1 / (w + log_below), which sums to 1 over the grid.

    A prior uniform in the width would favour low contrasts, under which all cracks are wider.
    """
    prior = np.gradient(widths) / (widths + settings.log_below)
    return np.asarray(prior / prior.sum())


class WidthModel:
    """The likelihood of all widths of the grid under one blur.

    A profile y(d), divided by the light of the wall, is

        y = a + b d - k bar(d; w) - e u(d; w) + texture,  u = d bar / d log blur.

    The texture is N(0, ``covariance``); a and b are free, as the light of the wall may slope;
    e ~ N(0, doubt) allows for a blur that differs at this place or is not Gaussian (u has no
    integral: the product of width and contrast stays); k ~ N(contrast, sd) is the contrast at this
    place. All but w are integrated out in closed form (they are linear and normal), so that two
    matrix products give the likelihood of every width for all profiles.
    """

    def __init__(
        self,
        offsets: Floats,
        covariance: Floats,
        blur: float,
        settings: Settings,
    ) -> None:
        self.blur = blur
        self.widths = width_grid(settings)
        self.prior = width_prior(self.widths, settings)
        widths, doubt = self.widths[:, None], settings.blur_doubt
        shapes = bar(offsets, widths, blur)
        factor = 1.1
        wider = bar(offsets, widths, blur * factor)
        narrower = bar(offsets, widths, blur / factor)
        change = (wider - narrower) / (2 * np.log(factor))
        root = np.linalg.cholesky(covariance)
        self.whiten = np.linalg.inv(root)
        self.log_det = float(np.log(np.diag(root)).sum())
        wall = np.stack([np.ones_like(offsets), offsets])
        self.basis = np.linalg.qr(self.whiten @ wall.T)[0]
        g, v = self.whitened(-shapes), self.whitened(-change)
        energy = (v**2).sum(axis=1)
        self.alpha = doubt**2 / (1 + doubt**2 * energy)
        self.occam = -0.5 * np.log(1 + doubt**2 * energy)
        both = (g * v).sum(axis=1)
        self.power = (g**2).sum(axis=1) - self.alpha * both**2
        self.filters = (g - (self.alpha * both)[:, None] * v) / self.power[:, None]
        self.doubts = v

    def whitened(self, rows: Floats) -> Floats:
        """Rows (m, offsets) with unit covariance, without their constant and linear parts."""
        white = rows @ self.whiten.T
        return np.asarray(white - (white @ self.basis) @ self.basis.T)

    def fit(self, profiles: Floats) -> "Fit":
        white = self.whitened(profiles)
        k = white @ self.filters.T
        gain = 0.5 * self.alpha * (white @ self.doubts.T) ** 2 + self.occam
        return Fit(self, k, gain, (white**2).sum(axis=1))


class Fit:
    """What `WidthModel` finds in profiles.

    ``k`` (m, widths): the contrast that fits best; ``gain``: of the log likelihood, by e;
    ``energy`` (m,): squared norm of the whitened profile, which no width changes.
    """

    def __init__(self, model: WidthModel, k: Floats, gain: Floats, energy: Floats) -> None:
        self.model, self.k, self.gain, self.energy = model, k, gain, energy

    @property
    def misfit(self) -> Floats:
        """The least squared misfit, in units of its expectation, (m,)."""
        best = (self.k**2 * self.model.power + 2 * self.gain).max(axis=1)
        return np.asarray((self.energy - best) / (len(self.model.whiten) - 5))

    def log_likelihood(self, contrast: float, sd: float) -> Floats:
        """Of each width, (m, widths), up to what neither width, contrast nor blur changes.

        log N(y) with k ~ N(contrast, sd): gain + 1/2 (k^2 / v - (k - contrast)^2 / (v + sd^2)
        + log(v / (v + sd^2))), where v = 1 / power is the variance of k.
        """
        variance = 1 / self.model.power
        spread = variance + sd * sd
        fitted = self.k**2 * self.model.power - (self.k - contrast) ** 2 / spread
        return np.asarray(self.gain + 0.5 * (fitted + np.log(variance / spread)))

    def posterior(self, contrast: float, sd: float) -> Floats:
        """The probability of each width, (m, widths)."""
        log = self.log_likelihood(contrast, sd)
        p = np.exp(log - log.max(axis=1, keepdims=True)) * self.model.prior
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def evidence(self, contrast: float, sd: float, told: Floats | float = 1.0) -> Floats:
        """The log likelihood of contrast and blur, whatever the width, (m,).

        ``told`` (widths,): the likelihood of what else is known of the width.
        """
        log = self.log_likelihood(contrast, sd)
        top = log.max(axis=1)
        whole = np.log(np.exp(log - top[:, None]) @ (self.model.prior * told) + 1e-300)
        return np.asarray(top + whole - 0.5 * self.energy - self.model.log_det)
