"""What holds for any input of batch norm, losses, Adam and networks, in float64."""

import numpy as np
from hypothesis import strategies as st

from minispiral.losses import LOSSES, cross_entropy, f1_loss, pseudo_f1
from minispiral.networks import build
from minispiral.nn import BatchNorm, ConvNormReLU, Parameter
from minispiral.optim import Adam
from minispiral.tensor import Tensor
from tests.engine.properties import ROUNDING, assert_close, batches, for_any, run, shapes, values

EPS = BatchNorm.eps

losses = st.sampled_from(list(LOSSES.values()))


# Statistics of batch norm


def trained_norm(rng, shape):
    """A layer with running statistics of a past, what they were, and a batch it will see."""
    norm = BatchNorm(shape[-1]).astype(np.float64)
    norm.running_mean, norm.running_var = rng.normal(size=shape[-1]), rng.uniform(0.5, 2, shape[-1])
    past = norm.running_mean.copy(), norm.running_var.copy()
    return norm, past, rng.normal(1, 2, shape)


@for_any(shape=batches)
def test_training_normalises_by_the_biased_variance(shape, rng):
    norm, _, x = trained_norm(rng, shape)
    axes = (0, 1, 2)
    squares = ((x - x.mean(axes)) ** 2).sum(axes)
    expected = (x - x.mean(axes)) / np.sqrt(squares / np.prod(shape[:3]) + EPS)
    assert_close(values(norm, x), expected, 50 / np.sqrt(x.var(axes).min() + EPS))


@for_any(shape=batches)
def test_running_variance_is_the_unbiased_one(shape, rng):
    norm, (_, var), x = trained_norm(rng, shape)
    norm(Tensor(x))
    assert_close((norm.running_var - 0.9 * var) / 0.1, x.var((0, 1, 2), ddof=1), 500)


@for_any(shape=batches, steps=st.integers(1, 5))
def test_running_statistics_go_a_tenth_of_the_way(shape, steps, rng):
    """What is left of the past after k steps is 0.9**k, and no step is taken in evaluation."""
    norm, past, x = trained_norm(rng, shape)
    for _ in range(steps):
        norm(Tensor(x))
    left = 0.9**steps
    batch = x.mean((0, 1, 2)), x.var((0, 1, 2), ddof=1)
    found = norm.running_mean.copy(), norm.running_var.copy()
    for before, goal, now in zip(past, batch, found, strict=True):
        assert_close(now, left * before + (1 - left) * goal, 50)
    norm.eval()(Tensor(x))
    np.testing.assert_array_equal((norm.running_mean, norm.running_var), found)


@for_any(shape=batches, var=st.sampled_from((0.0, EPS, 1.0)))
def test_eps_is_added_once_and_inside_the_root(shape, var, rng):
    """In evaluation y * sqrt(var + eps) = x - mean; in training mean(y**2) = var / (var + eps)."""
    norm, _, x = trained_norm(rng, shape)
    norm.running_var = np.full(shape[-1], var)
    y = values(norm.eval(), x)
    assert_close(y * np.sqrt(var + EPS), x - norm.running_mean, 100)
    x = (x - x.mean((0, 1, 2))) * np.sqrt(var / x.var((0, 1, 2)))
    squares = (values(norm.train(), x) ** 2).mean((0, 1, 2))
    np.testing.assert_allclose(squares, np.full(shape[-1], var / (var + EPS)), rtol=1e-9)


@for_any(shape=batches, transpose=st.booleans())
def test_the_fused_block_keeps_the_statistics_of_the_plain_one(shape, transpose, rng):
    n, h, w, c = shape
    x = rng.standard_normal((n, h + 4, w + 4, c))
    fused, plain = (ConvNormReLU(c, 3, np.random.default_rng(0), transpose) for _ in range(2))
    plain.fused = False
    for block in (fused, plain):
        block.astype(np.float64)(Tensor(x))
    assert_close(fused.norm.running_mean, plain.norm.running_mean, 10)
    assert_close(fused.norm.running_var, plain.norm.running_var, 100)


# Losses


def pixels(rng, shape):
    """Logits, and a mask with some crack in it."""
    logits, mask = rng.normal(0, 3, (*shape[:3], 1)), rng.random((*shape[:3], 1)) < 0.3
    mask.flat[rng.integers(mask.size)] = True
    return logits, mask


@for_any(loss=losses, shape=shapes)
def test_losses_do_not_mind_the_order_of_pixels_nor_of_pictures(loss, shape, rng):
    logits, mask = pixels(rng, shape)
    order = rng.permutation(mask.size)
    mixed, mixed_mask = (a.ravel()[order].reshape(a.shape) for a in (logits, mask))
    y, _, (g,) = run(loss, logits, mask=mask)
    mixed_y, _, (mixed_g,) = run(loss, mixed, mask=mixed_mask)
    np.testing.assert_allclose(mixed_y, y, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(mixed_g.ravel(), g.ravel()[order], rtol=ROUNDING)


@for_any(loss=losses, shape=shapes)
def test_a_batch_twice_over_has_the_same_loss_and_half_the_gradient(loss, shape, rng):
    logits, mask = pixels(rng, shape)
    y, _, (g,) = run(loss, logits, mask=mask)
    twice, mask_twice = (np.concatenate([a, a]) for a in (logits, mask))
    y_twice, _, (g_twice,) = run(loss, twice, mask=mask_twice)
    np.testing.assert_allclose(y_twice, y, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(2 * g_twice, np.concatenate([g, g]), rtol=ROUNDING)


@for_any(shape=shapes)
def test_f1_lies_between_precision_and_recall(shape, rng):
    """It is their harmonic mean, of sums of probabilities, at least the lesser of the two."""
    logits, mask = pixels(rng, shape)
    sigma = 1 / (1 + np.exp(-logits))
    precision, recall = sigma[mask].sum() / sigma.sum(), sigma[mask].mean()
    for loss in (f1_loss, pseudo_f1):
        f1 = np.exp(-values(loss, logits, mask=mask))
        assert 0 < f1 <= 1 + ROUNDING
        assert min(precision, recall) <= f1 * (1 + ROUNDING)
        assert f1 <= (precision + recall) / 2 * (1 + ROUNDING)


@for_any(shape=shapes)
def test_eq_8_is_eq_11_times_the_probability_of_the_label(shape, rng):
    logits, mask = pixels(rng, shape)
    _, _, (true,) = run(f1_loss, logits, mask=mask)
    _, _, (pseudo,) = run(pseudo_f1, logits, mask=mask)
    label = 1 / (1 + np.exp(np.where(mask, -logits, logits)))
    np.testing.assert_allclose(true, pseudo * label, rtol=ROUNDING)


@for_any(shape=shapes)
def test_cross_entropy_does_not_mind_which_class_is_called_crack(shape, rng):
    logits, mask = pixels(rng, shape)
    y, _, (g,) = run(cross_entropy, logits, mask=mask)
    other, _, (other_g,) = run(cross_entropy, -logits, mask=~mask)
    np.testing.assert_allclose(other, y, rtol=ROUNDING)
    np.testing.assert_allclose(other_g, -g, rtol=ROUNDING)


# Adam and networks


@for_any(shape=shapes, steps=st.integers(1, 5))
def test_adam_steps_by_its_learning_rate_and_ignores_the_scale_of_gradients(shape, steps, rng):
    """With eps = 0; its first step is ``lr`` against the sign of the gradient."""
    start, gradients = rng.standard_normal(shape), rng.standard_normal((steps, *shape))
    found = []
    for factor in (1, 1000):
        p = Parameter(start.copy())
        adam = Adam([("p", p)], lr=0.01, eps=0)
        for k, g in enumerate(gradients):
            p.grad = factor * g
            adam.step()
            if k == 0:
                assert_close(p.data, start - 0.01 * np.sign(g), 10)
        found.append(p.data)
    assert_close(*found, 10)


@for_any(name=st.sampled_from(["spiral", "unet"]), n=st.integers(2, 4))
def test_networks_treat_the_pictures_of_a_batch_alike(name, n, rng):
    """In any order while training, each by itself in evaluation; batch norm magnifies rounding."""
    network = build(name, depths=(1, 2), width=0.05, rng=rng).astype(np.float64)
    x = rng.uniform(-1, 1, (n, 7, 11, 3))
    order = rng.permutation(n)
    np.testing.assert_allclose(values(network, x[order]), values(network, x)[order], atol=1e-9)
    network.eval()
    alone = np.concatenate([values(network, x[k : k + 1]) for k in range(n)])
    np.testing.assert_allclose(alone, values(network, x), atol=1e-9)
