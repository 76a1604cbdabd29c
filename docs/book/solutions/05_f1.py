# %% [markdown]
# # Solutions of chapter 5

# %%
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels import losses

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def sigmoid(x: Array) -> Array:
    """Without overflow: exp is taken of numbers that are not positive."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


# %% [markdown]
# ## Exercise 5.1
#
# With $\mathrm{rec} = S / N_1$ and $\mathrm{prec} = S / A$,
#
# $$ F_\beta = \frac{(1 + \beta^2)\, \frac{S}{A} \cdot \frac{S}{N_1}}
# {\beta^2 \frac{S}{A} + \frac{S}{N_1}}
# = \frac{(1 + \beta^2)\, S}{\beta^2 N_1 + A} . $$
#
# The last step multiplies numerator and denominator by $A N_1 / S$. So $\beta^2 N_1 + A$ replaces
# $T$, and nothing else changes: $L = \log(\beta^2 N_1 + A) - \log S + \text{const}$.

# %%


def f_beta_weights(logits: Array, crack: Mask, beta: float) -> tuple[float, float]:
    sigma = sigmoid(logits)
    s, total = sigma[crack].sum(), beta**2 * crack.sum() + sigma.sum()
    return 1 / s - 1 / total, 1 / total


# %% [markdown]
# The ratio of the two is $\frac{\beta^2 N_1 + A - S}{S}$. With $\beta = 2$ and everything
# classified well it tends to 4: a crack pixel counts four times as much to the end.

# %%
x, crack = np.array([0.5, -1.0, -2.0]), np.array([True, False, False])
sums = losses.sums(losses.F1(), x, crack)
np.testing.assert_allclose(f_beta_weights(x, crack, 1.0), losses.F1().weights(sums, x.size))
well = np.where(crack, 30.0, -30.0)
on_crack, elsewhere = f_beta_weights(well, crack, 2.0)
print(f"ratio {on_crack / elsewhere:.6f}")

# %% [markdown]
# ## Exercise 5.2
#
# Write $U = N_1 + A - S$ for the union. $A - S$ is the sum of $\sigma$ over the pixels that are
# *not* crack, so a crack pixel does not change $U$ at all. With $L = \log U - \log S$,
#
# $$ \begin{aligned}
# \frac{\partial L}{\partial \sigma_i} &= \begin{cases} -\frac{1}{S}, & l_i = 1 \\
# \frac{1}{U}, & l_i = -1 \end{cases} \\
# g(x_i) &= \begin{cases} -\frac{1}{S} (1 - \sigma_i), & l_i = 1 \\
# \frac{1}{U}\, \sigma_i, & l_i = -1 \end{cases}
# \end{aligned} $$
#
# For logits of any size, $1 - \sigma(x)$ is computed as $\sigma(-x)$, and $\sigma$ with an
# exponential that cannot overflow.

# %%


def pseudo_iou(logits: Array, crack: Mask) -> Array:
    sigma = sigmoid(logits)
    s = sigma[crack].sum()
    union = crack.sum() + sigma[~crack].sum()
    return np.where(crack, -sigmoid(-logits) / s, sigma / union)


# %% [markdown]
# The ratio of the weights is $\frac{U}{S}$, the same as Eq. 13: the pseudo-gradients of F1 and of
# IoU differ by one common factor, $\frac{T}{U}$. That is no accident: IoU is
# $\frac{\mathrm{F1}}{2 - \mathrm{F1}}$, an increasing function of F1, so by the chain rule its
# derivatives are those of F1 times one number for the whole batch. Adam, which ignores a common
# factor, hardly tells the two apart.

# %%
eq11 = losses.gradient(losses.PseudoF1(), x, crack, sums)
ratio = pseudo_iou(x, crack) / eq11
print("IoU over F1", ratio)
np.testing.assert_allclose(ratio, ratio[0])

# %% [markdown]
# ## Exercise 5.3
#
# The weights depend on `frozen` only, so they are constants when differentiating with respect to
# `logits`. For a crack pixel $-\log \sigma(x) = \log(1 + e^{-x})$, and for any other
# $-\log(1 - \sigma(x)) = \log(1 + e^{x})$.

# %%


def frozen_loss(logits: Array, frozen: Array, crack: Mask) -> float:
    sigma = sigmoid(frozen)
    s, t = sigma[crack].sum(), crack.sum() + sigma.sum()
    weight = np.where(crack, 1 / s - 1 / t, 1 / t)
    return float(np.sum(weight * np.log1p(np.exp(np.where(crack, -logits, logits)))))


# %% [markdown]
# Its derivative at `frozen`, by central differences, is Eq. 11:

# %%
step = 1e-5 * np.eye(3)
slopes = [(frozen_loss(x + v, x, crack) - frozen_loss(x - v, x, crack)) / 2e-5 for v in step]
np.testing.assert_allclose(slopes, eq11, rtol=1e-8)

# %% [markdown]
# This is how to get Eq. 11 from a framework that differentiates automatically: compute the weights,
# detach them from the tape, and use them in a weighted cross-entropy.

# %% [markdown]
# ## On paper
#
# $S = A = N_1 q$ and $T = N_1 (1 + q)$. So $\mathrm{F1} = \frac{2q}{1 + q}$, which goes from 0 to 1
# with $q$. The weights are $\frac{1}{S} - \frac{1}{T} = \frac{1}{N_1 q (1 + q)}$ on crack and
# $\frac{1}{N_1 (1 + q)}$ elsewhere. Their ratio is $r = \frac{1}{q}$: without bound for $q \to 0$,
# and 1 for $q \to 1$.

# %%
n_pos, q = 20, 0.3
s, t = n_pos * q, n_pos + n_pos * q
np.testing.assert_allclose([2 * s / t, (1 / s - 1 / t) * t], [2 * q / (1 + q), 1 / q])
