"""The bar against quadrature, the likelihood against the density of the normal distribution."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from minispiral.measurement.bar import bar
from minispiral.measurement.profiles import offsets_of, texture_covariance
from minispiral.measurement.settings import Settings
from minispiral.measurement.wide import half_depth
from minispiral.measurement.width_model import WidthModel


def test_the_bar_is_a_box_seen_through_the_pixel_and_the_blur(rng):
    width, blur = rng.uniform(0.2, 6), rng.uniform(0.3, 1.5)
    d = rng.uniform(-8, 8, 9)
    inside = np.linspace(-width / 2, width / 2, 4001)
    # A point of the crack, seen through pixel and blur: the difference of two normal ogives.
    seen = norm.cdf((d[:, None] - inside + 0.5) / blur) - norm.cdf(
        (d[:, None] - inside - 0.5) / blur
    )
    assert bar(d, width, blur) == pytest.approx(np.trapezoid(seen, inside, axis=1), abs=1e-6)
    fine = np.linspace(-20, 20, 20001)
    assert np.trapezoid(bar(fine, width, blur), fine) == pytest.approx(width, rel=1e-6)


def test_the_likelihood_is_that_of_a_normal_distribution(rng):
    settings = Settings()
    offsets = offsets_of(settings)
    n = len(offsets)
    mix = rng.standard_normal((n, n)) * 0.01
    covariance = mix @ mix.T / n + 1e-4 * np.eye(n)
    blur, contrast, sd = rng.uniform(0.5, 1.2), rng.uniform(0.4, 0.9), rng.uniform(0.05, 0.2)
    model = WidthModel(offsets, covariance, blur, settings)
    profile = (
        1.02 + 0.003 * offsets - rng.uniform(0.4, 0.9) * bar(offsets, rng.uniform(0.5, 5), blur)
    )
    profile += 0.01 * rng.standard_normal(n)
    found = model.fit(profile[None]).log_likelihood(contrast, sd)[0]
    chosen = rng.integers(len(model.widths), size=6)
    wall = np.outer(np.ones(n), np.ones(n)) + np.outer(offsets, offsets)
    wanted = []
    for width in model.widths[chosen]:
        shape = bar(offsets, width, blur)
        change = bar(offsets, width, 1.1 * blur) - bar(offsets, width, blur / 1.1)
        change *= settings.blur_doubt / (2 * np.log(1.1))
        whole = covariance + 10 * wall + np.outer(change, change) + sd**2 * np.outer(shape, shape)
        wanted.append(multivariate_normal(-contrast * shape, whole).logpdf(profile))
    differences = np.array(wanted) - wanted[0]
    assert found[chosen] - found[chosen[0]] == pytest.approx(differences, rel=1e-3, abs=0.02)


def test_the_posterior_finds_the_width_of_a_clean_profile(rng):
    settings = Settings()
    offsets = offsets_of(settings)
    width, blur, contrast = rng.uniform(0.5, 6), rng.uniform(0.5, 1.2), rng.uniform(0.4, 0.9)
    model = WidthModel(offsets, 0.01**2 * np.eye(len(offsets)), blur, settings)
    profile = 1 - contrast * bar(offsets, width, blur)
    p = model.fit(profile[None]).posterior(contrast, 0.02)[0]
    assert p.sum() == pytest.approx(1)
    assert p @ model.widths == pytest.approx(width, abs=0.12)


def test_the_covariance_of_texture_is_found_again(rng):
    n = 41
    wanted = 0.03**2 * np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / 4)
    profiles = rng.multivariate_normal(np.ones(n), wanted, 2000)
    profiles[:100] += np.linspace(-3, 3, n)  # a joint
    few = texture_covariance(rng.multivariate_normal(np.ones(n), wanted, 41))
    assert np.linalg.eigvalsh(few).min() > 0
    found = texture_covariance(profiles)
    assert np.abs(found / wanted - 1)[wanted > wanted.max() / 2].max() < 0.5
    assert np.linalg.eigvalsh(found).min() > 0


def test_half_depth_lies_between_the_samples(rng):
    offsets, fine = offsets_of(Settings()), np.linspace(-10, 10, 20001)
    width, blur = rng.uniform(0.3, 6), rng.uniform(0.4, 1.5)
    seen = bar(fine, width, blur)
    profile = 1 - rng.uniform(0.3, 0.95) * bar(offsets, width, blur)
    dark = 20 * (seen > seen.max() / 2).mean()
    assert half_depth(profile[None], offsets) == pytest.approx([dark], abs=0.06)
    side = np.where(offsets < 3, 0.5, 1.0)  # dark up to its end
    assert half_depth(side[None], offsets) == pytest.approx([12.75], abs=0.3)
