"""Blur and contrast of a photograph, learnt from all its profiles together, and then the widths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.contrast import Reading, contrast_grid, contrast_prior, near
from minispiral.measurement.curves import Floats
from minispiral.measurement.places import holes
from minispiral.measurement.profiles import Profiles, depth_of, offsets_of
from minispiral.measurement.records import Contrast, Rest
from minispiral.measurement.scale import Scale
from minispiral.measurement.settings import Settings
from minispiral.measurement.wide import half_depth
from minispiral.measurement.width_model import Fit, WidthModel

MOST = 200  # windows that blur and contrast are learnt from: more tell nothing new
MISFIT_LENGTH = 0.7  # px, along the profile, over which what the model leaves out is alike
FEW = 8  # windows of a line: fewer tell nothing of the contrast from place to place
NEGLIGIBLE = 0.002  # hypotheses with a smaller share of the probability are dropped


@dataclass(frozen=True)
class Learnt:
    """What the profiles of a photograph say of it.

    ``models``: one for each blur that is likely; ``weights`` (models, contrasts): the probability
    of each pair; ``contrast``: summary of it; ``blur``: mean of it, px; ``local``: standard
    deviation of the contrast from place to place.
    """

    models: list[WidthModel]
    contrasts: Floats
    weights: Floats
    contrast: Contrast
    blur: float
    local: float


@dataclass(frozen=True)
class Widths:
    """Widths of ``m`` windows under ``h`` hypotheses on blur and contrast, px.

    ``value``, ``low``, ``high`` (m,): mean and interval of 95 %, all hypotheses together.
    ``means``, ``variances`` (m, h): under each; ``weights`` (h,): its probability. ``misfit`` (m,):
    see `Fit.misfit`.
    """

    value: Floats
    low: Floats
    high: Floats
    means: Floats
    variances: Floats
    weights: Floats
    misfit: Floats


def learn(
    profiles: Profiles,
    usable: NDArray[np.bool_],
    covariance: Floats,
    settings: Settings,
    readings: Sequence[Reading] = (),
    scale: Scale | None = None,
) -> Learnt:
    """The posterior of blur and contrast.

    Blur is learnt from all good windows, each with a contrast of its own; contrast, and the blur
    with it, from those so wide that their floor can be seen (`_telling`): of a crack narrower than
    the blur only the product of width and contrast is left. One wide window in ten may be none of a
    crack, so that none alone decides. The sums of log likelihoods are tempered, so that all windows
    count as ``votes`` at most, and the wide ones as ``wide_votes``, since what the model leaves out
    is common to them. A reading multiplies the likelihood of the windows beside it by that of their
    width; then the prior is uniform.
    """
    offsets = offsets_of(settings)
    apart = np.subtract.outer(offsets, offsets)
    share = settings.misfit_share * depth_of(profiles.values[usable], offsets)
    left_out = (settings.misfit**2 + share**2) * np.exp(-0.5 * (apart / MISFIT_LENGTH) ** 2)
    blurs = settings.blur * np.exp(0.14 * np.arange(-4, 8))
    models = [WidthModel(offsets, covariance + left_out, blur, settings) for blur in blurs.tolist()]
    contrasts = contrast_grid(settings)
    chosen = np.flatnonzero(usable)
    if len(chosen) > MOST:
        chosen = chosen[np.linspace(0, len(chosen) - 1, MOST).astype(int)]
    log_blur = -0.5 * (np.log(blurs / settings.blur) / settings.blur_log_sd) ** 2
    log = np.repeat(log_blur[:, None], len(contrasts), axis=1)
    prior = contrast_prior(contrasts, settings)
    if len(chosen):
        log += _seen(profiles.part(chosen), models, contrasts, settings)
    if readings:
        assert scale is not None
        prior = np.full(len(contrasts), 1 / len(contrasts))
        for reading in readings:
            log += _read(profiles, usable, models, contrasts, reading, scale, settings)
    log += np.log(prior)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    kept = weights.sum(axis=1) > NEGLIGIBLE
    weights = weights[kept] / weights[kept].sum()
    models = [model for model, keep in zip(models, kept, strict=True) if keep]
    contrast = _summary(contrasts, weights.sum(axis=0), prior, bool(readings))
    likeliest = models[int(weights.sum(axis=1).argmax())]
    return Learnt(
        models,
        contrasts,
        weights,
        contrast,
        float(np.exp(weights.sum(axis=1) @ np.log(blurs[kept]))),
        _local(profiles.part(usable), likeliest, contrast.value, settings),
    )


def _seen(
    profiles: Profiles, models: list[WidthModel], contrasts: Floats, settings: Settings
) -> Floats:
    """The tempered log likelihood (models, contrasts) of what the windows show."""
    values = profiles.values
    fits = [model.fit(values) for model in models]
    broad = np.stack([_broad(fit, contrasts, settings) for fit in fits])
    misfit = fits[int(broad.sum(axis=1).argmax())].misfit
    fair = misfit <= max(1.0, min(settings.bad_fit, float(np.quantile(misfit, 0.8))))
    # Along the pixels, within some 5 degrees, what lies between them stays hidden.
    if (profiles.alike < 0.7).any():
        fair &= profiles.alike < 0.7
    blur = broad @ (fair * _weight(fair, settings.votes, settings))
    telling = _telling(profiles, fair, models[int(blur.argmax())].blur, settings)
    log = np.repeat(blur[:, None], len(contrasts), axis=1)
    if telling.any():
        votes = telling * _weight(telling, settings.wide_votes, settings)
        for i in np.flatnonzero(blur > blur.max() - 12):
            for j, contrast in enumerate(contrasts.tolist()):
                told = fits[i].evidence(contrast, settings.contrast_local) - broad[i]
                believed = np.log1p(-settings.strange) + told
                log[i, j] += np.logaddexp(believed, np.log(settings.strange)) @ votes
    return log


def _telling(
    profiles: Profiles, fair: NDArray[np.bool_], blur: float, settings: Settings
) -> Floats:
    """How much each window tells of the contrast, 0 to 1, (m,), by its width at half depth.

    The width is the median of up to 7 good windows in a row, and is compared with the whole blur.
    """
    width = half_depth(profiles.values, offsets_of(settings))
    fair = fair & ~holes(profiles, width)
    telling = np.zeros(len(width))
    for k in np.unique(profiles.line[fair]):
        here = np.flatnonzero((profiles.line == k) & fair)
        of = width[here]
        steady = np.array([np.median(of[max(0, i - 3) : i + 4]) for i in range(len(of))])
        ratio = steady / np.hypot(blur, settings.wide_blur)
        rise = (ratio - settings.wide_from) / (settings.wide - settings.wide_from)
        telling[here] = np.clip(rise, 0, 1) * (steady < settings.halfway + 1)
    return telling


def _broad(fit: Fit, contrasts: Floats, settings: Settings) -> Floats:
    """The log likelihood (m,) of the blur, the contrast being anything that the prior allows."""
    log = np.log(contrast_prior(contrasts, settings))
    each = [
        fit.evidence(contrast, settings.contrast_local) + share
        for contrast, share in zip(contrasts.tolist(), log.tolist(), strict=True)
    ]
    return np.asarray(np.logaddexp.reduce(each, axis=0))


def _local(profiles: Profiles, model: WidthModel, contrast: float, settings: Settings) -> float:
    """How much the contrast differs from place to place, its standard deviation.

    No more than the light that the windows of one line swallow: where that is the same all along,
    width and contrast are too, unless one made up for the other. Of the scatter of the contrast
    that fits each window, all taken to have their line's median width, the texture's share is
    taken off. At most `Settings.contrast_local`, for lines of varying width.
    """
    fit = model.fit(profiles.values)
    width = fit.posterior(contrast, settings.contrast_local) @ model.widths
    scatter, count = 0.0, 0
    for line in np.unique(profiles.line):
        here = np.flatnonzero(profiles.line == line)
        if len(here) < FEW:
            continue
        nearest = int(np.abs(model.widths - np.median(width[here])).argmin())
        k = fit.k[here, nearest]
        spread = contrast * np.median(np.abs(k / np.median(k) - 1)) / 0.6745  # of a normal one
        noise = 1 / model.power[nearest]
        scatter += len(here) * max(settings.contrast_steady**2, spread**2 - noise)
        count += len(here)
    if not count:
        return settings.contrast_local
    return min(settings.contrast_local, float(np.sqrt(scatter / count)))


def _weight(windows: NDArray[np.generic], votes: float, settings: Settings) -> float:
    """Of one window in a tempered sum: neighbours overlap by half, all are ``votes`` at most."""
    return float(min(settings.hop / settings.window, votes / max(1.0, windows.sum())))


def _read(
    profiles: Profiles,
    usable: NDArray[np.bool_],
    models: list[WidthModel],
    contrasts: Floats,
    reading: Reading,
    scale: Scale,
    settings: Settings,
) -> Floats:
    """The log likelihood (models, contrasts) of one reading together with the profiles beside it.

    log of the sum over w of p(profile | w) N(reading; w, sd), less what the profile says of the
    blur without the reading, which was counted before; the mean over the windows, which overlap.
    """
    candidates = np.flatnonzero(usable)
    here = candidates[near(profiles.points[candidates], reading)]
    width, sd = reading.pixels(scale)
    log = np.zeros((len(models), len(contrasts)))
    for i, model in enumerate(models):
        fit = model.fit(profiles.values[here])
        cell = np.gradient(model.widths) / 2
        told = np.exp(-0.5 * (model.widths - width) ** 2 / (sd * sd + cell * cell))
        broad = _broad(fit, contrasts, settings)
        for j, contrast in enumerate(contrasts.tolist()):
            log[i, j] = (fit.evidence(contrast, settings.contrast_local, told) - broad).mean()
    return log


def _summary(contrasts: Floats, posterior: Floats, prior: Floats, card: bool) -> Contrast:
    mean = float(posterior @ contrasts)
    low, high = _quantiles(contrasts, posterior[None])
    before = float(np.sqrt(prior @ contrasts**2 - (prior @ contrasts) ** 2))
    sd = float(np.sqrt(posterior @ (contrasts - mean) ** 2))
    rests = Rest.CARD if card else Rest.WIDE if sd < 0.65 * before else Rest.PRIOR
    return Contrast(mean, float(low[0]), float(high[0]), rests)


def widths_of(values: Floats, learnt: Learnt, settings: Settings) -> Widths:
    """The widths of profiles (m, offsets), blur and contrast being as likely as was learnt."""
    grid = learnt.models[0].widths
    whole = np.zeros((len(values), len(grid)))
    means, variances, weights = [], [], []
    misfit, most = np.zeros(len(values)), 0.0
    for model, row in zip(learnt.models, learnt.weights, strict=True):
        fit: Fit = model.fit(values)
        if row.sum() > most:
            misfit, most = fit.misfit, float(row.sum())
        for contrast, weight in zip(learnt.contrasts.tolist(), row.tolist(), strict=True):
            if weight > NEGLIGIBLE:
                p = fit.posterior(contrast, learnt.local)
                whole += weight * p
                means.append(p @ grid)
                variances.append(p @ grid**2 - means[-1] ** 2)
                weights.append(weight)
    whole /= whole.sum(axis=1, keepdims=True)
    value = whole @ grid
    low, high = _quantiles(grid, whole)
    # No window is better than the model itself.
    extra = 1.96 * np.hypot(settings.model_error, settings.model_share * value)
    return Widths(
        value,
        np.maximum(0, value - np.hypot(value - low, extra)),
        value + np.hypot(np.maximum(high - value, 0), extra),
        np.stack(means, axis=1),
        np.stack(variances, axis=1),
        np.array(weights) / sum(weights),
        misfit,
    )


def _quantiles(grid: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Where the distributions (m, grid) reach 2.5 and 97.5 %, each cell being filled evenly."""
    edges = np.concatenate([grid[:1], (grid[1:] + grid[:-1]) / 2, grid[-1:]])
    reached = np.concatenate([np.zeros((len(p), 1)), np.cumsum(p, axis=1)], axis=1)
    low, high = (np.array([np.interp(q, row, edges) for row in reached]) for q in (0.025, 0.975))
    return low, high
