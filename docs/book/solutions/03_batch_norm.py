# %% [markdown]
# # Solutions to chapter 3

# %%
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels import batchnorm, conv2d

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 3.1
#
# With constant moments batch norm is $a y + b$ in each channel, $a = \gamma / \sqrt{v + \epsilon}$
# and $b = \beta - a\mu$. The convolution is linear in its weights, so $a$ times the output is the
# output of $a$ times the weights. Each output channel has its own $a$, so $a$ must be broadcast
# along the axis of `w` that counts the output channels. That is the last one for a convolution,
# which goes from `big` to `small`. For a transposed convolution it is the last but one.

# %%


def folded(
    w: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, transpose: bool
) -> tuple[Array, Array]:
    a = gamma / np.sqrt(var + eps)
    v = w * (a[:, None] if transpose else a)
    return v, beta - a * mean


rng = np.random.default_rng(0)
x = rng.standard_normal((2, 7, 7, 3))
w = rng.standard_normal((3, 3, 3, 4))
gamma, beta, mean, var = rng.uniform(0.5, 2, (4, 4))
v, bias = folded(w, gamma, beta, mean, var, 1e-5, transpose=False)
normalized = batchnorm.normalize(conv2d.conv2d(x, w, 2), mean, var, gamma, beta, 1e-5)
np.testing.assert_allclose(conv2d.conv2d(x, v, 2) + bias, normalized, rtol=0, atol=1e-12)

gamma, beta, mean, var = rng.uniform(0.5, 2, (4, 3))
y = rng.standard_normal((2, 3, 3, 4))
v, bias = folded(w, gamma, beta, mean, var, 1e-5, transpose=True)
enlarged = conv2d.conv2d_input_grad(y, w, (7, 7), 2)
normalized = batchnorm.normalize(enlarged, mean, var, gamma, beta, 1e-5)
enlarged = conv2d.conv2d_input_grad(y, v, (7, 7), 2)
np.testing.assert_allclose(enlarged + bias, normalized, rtol=0, atol=1e-12)


# %% [markdown]
# ## Exercise 3.2
#
# Keep three things about the rows seen so far: their number $m$, their mean $\mu$ and the sum of
# squares about it, $S$. A new tile has $m_t$, $\mu_t$ and $S_t$. With $\delta = \mu_t - \mu$, the
# mean of both is $\mu' = \mu + \delta\, m_t / (m + m_t)$. By the formula of the chapter, for two
# tiles, the squares are
#
# $$ \begin{aligned}
# S' &= S + S_t + m\,(\mu - \mu')^2 + m_t\,(\mu_t - \mu')^2 \\
# &= S + S_t + \delta^2\, \frac{m\, m_t}{m + m_t}.
# \end{aligned} $$
#
# For the second step put in $\mu - \mu' = -\delta\, m_t / (m + m_t)$ and
# $\mu_t - \mu' = \delta\, m / (m + m_t)$. Only differences are squared, so nothing large cancels.
# The mean of a tile is best computed as its first row plus the mean difference from it: that keeps
# the sum small, too.

# %%


def moments(tiles: Iterable[Array]) -> tuple[Array, Array]:
    m, mean, squares = 0, np.zeros(1), np.zeros(1)
    for tile in tiles:
        tile_mean = tile[0] + (tile - tile[0]).mean(0)
        tile_squares = ((tile - tile_mean) ** 2).sum(0)
        delta = tile_mean - mean
        both = m + len(tile)
        squares = squares + tile_squares + delta**2 * (m * len(tile) / both)
        mean = mean + delta * (len(tile) / both)
        m = both
    return mean, squares / m


rows = 1e8 + rng.standard_normal((1000, 2))
found = moments(rows[i : i + 64] for i in range(0, 1000, 64))
np.testing.assert_allclose(found[1], rows.var(0), rtol=1e-6)


# %% [markdown]
# ## Exercise 3.3
#
# The derivation in the chapter does not depend on where the $m$ values come from. Let them be the
# $c$ numbers of a pixel, take the means over the last axis, and set $\gamma = 1$:
#
# $$ g^x_i = \rho \left( g_i - \frac{1}{c} \sum_j g_j
#    - \hat{x}_i\, \frac{1}{c} \sum_j g_j \hat{x}_j \right). $$

# %%


def layer_norm_grad(x: Array, gy: Array, eps: float) -> Array:
    inv = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    xhat = (x - x.mean(-1, keepdims=True)) * inv
    g_mean = gy.mean(-1, keepdims=True)
    g_slope = (gy * xhat).mean(-1, keepdims=True)
    return inv * (gy - g_mean - xhat * g_slope)


# %% [markdown]
# A pixel's channels are to layer norm what a channel's pixels are to batch norm. So if we swap the
# pixels and channels of an image, batch norm must give the same gradient:

# %%
x, gy = rng.standard_normal((2, 1, 5, 1, 8))  # one row of 5 pixels, 8 channels
turned = x[0, :, 0].T, gy[0, :, 0].T  # 8 values in each of 5 channels
by_batch_norm, *_ = batchnorm.normalize_grad(
    *turned, *batchnorm.moments(turned[0]), np.ones(5), 1e-5
)
np.testing.assert_allclose(
    layer_norm_grad(x, gy, 1e-5)[0, :, 0].T, by_batch_norm, rtol=0, atol=1e-12
)

# %% [markdown]
# ## On paper
#
# **A.** With $\epsilon = 0$ the $\hat x_i$ sum to 0 and their squares to $m$. So $\sum_i g^x_i =
# \gamma\rho\,(\sum_i g_i - g^\beta - 0) = 0$, since $g^\beta$ is that sum. And $\sum_i \hat x_i
# g^x_i = \gamma\rho\,(\sum_i g_i \hat x_i - 0 - \frac{m}{m} g^\gamma) = 0$, since $g^\gamma$ is
# that one.

# %%
rng = np.random.default_rng(0)
values, g = rng.standard_normal((2, 9))
xhat = (values - values.mean()) / values.std()
gx = g - g.mean() - xhat * (g * xhat).mean()
np.testing.assert_allclose([gx.sum(), (gx * xhat).sum()], 0, atol=1e-12)

# %% [markdown]
# **B.** The convolution is linear in $w$, so $cw$ multiplies its output by $c$, and batch norm
# takes a positive factor away again: $L(cw) = L(w)$. Differentiate both sides by $c$, at $c = 1$:
# $\langle w, g^w \rangle = 0$. Differentiate them by $w$: $c$ times the gradient at $cw$ is the
# gradient at $w$. So weights that are $c$ times as large have a gradient that is $\frac{1}{c}$
# times as large.
#
# The gradient is orthogonal to $w$. So by Pythagoras the squares of $w - \alpha g^w$ sum to
# $|w|^2 + \alpha^2 |g^w|^2$, with $|w|^2$ the sum of the squares of $w$. This sum can only grow. A
# step turns $w$ by an angle whose tangent is $\alpha |g^w| / |w|$. As $|w|$ grows to $c$ times its
# value, the gradient falls to $\frac{1}{c}$, and the angle to $\frac{1}{c^2}$: the learning rate
# falls by itself. (All this holds for the weights of each output channel by themselves. It does not
# hold for Adam, of chapter 7, which divides each element of the gradient by a number of its own.)

# %%
x, gy = rng.standard_normal((2, 7, 7, 3)), rng.standard_normal((2, 3, 3, 4))


def weight_grad(w: Array) -> Array:
    y = conv2d.conv2d(x, w, 2)
    g, _, _ = batchnorm.normalize_grad(y, gy, *batchnorm.moments(y), np.ones(4), 0.0)
    return conv2d.conv2d_weight_grad(x, g, (3, 3), 2)


w = rng.standard_normal((3, 3, 3, 4))
np.testing.assert_allclose((w * weight_grad(w)).sum((0, 1, 2)), 0, atol=1e-11)
np.testing.assert_allclose(weight_grad(5 * w), weight_grad(w) / 5, rtol=0, atol=1e-11)

# %% [markdown]
# **C.** The $\hat{x}$ sum to 0 and their squares to $m$. So the other $m - 1$ sum to $-\hat{x}_i$.
# The squares of $m - 1$ numbers with a given sum are least if all are equal, so theirs sum to at
# least $\hat{x}_i^2 / (m - 1)$. Together
#
# $$ m \ge \hat{x}_i^2 + \frac{\hat{x}_i^2}{m - 1} = \hat{x}_i^2\, \frac{m}{m - 1}, $$
#
# which is $\hat{x}_i^2 \le m - 1$, with equality if all others are equal. For $m = 2$ both are 1,
# as in the chapter. For $m = 32$, at the bottom of the paper's deepest module, nothing gets above
# 5.57 <!-- = 31**0.5 -->, whatever the picture shows.
#
# The one pixel raises the mean by $\delta / m$, and the variance is $\delta^2 (m - 1) / m^2$, about
# $\delta^2 / m$. So
#
# $$ \hat{x} \approx \frac{\delta}{\sqrt{\delta^2 / m + \epsilon}} . $$
#
# That is 3.16 <!-- = lone(0.01) --> for $\delta = 0.01$, where $\epsilon$ is nearly all of the
# root; 289 <!-- = lone(1) --> for $\delta = 1$; and 718 <!-- = lone(100) --> for $\delta = 100$,
# the bound $\sqrt{m - 1}$. The two parts of the root are equal at $\delta = \sqrt{\epsilon m}$,
# which is 2.3 <!-- = (1e-5 * m) ** 0.5 -->. A few times above that, what is rare in a flat channel
# comes out large, no matter how faint it was.

# %%
m = 516_128


def lone(delta: float) -> float:
    values = np.zeros((m, 1))
    values[0] = delta
    moments_of = batchnorm.moments(values)
    return float(batchnorm.normalize(values, *moments_of, np.ones(1), np.zeros(1), 1e-5)[0, 0])


print([round(lone(delta), 2) for delta in (0.01, 1, 100)], "bound", round((m - 1) ** 0.5, 2))
