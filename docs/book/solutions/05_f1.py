# %% [markdown]
# # Solutions to chapter 5

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
# **A.** $S = A = N_1 q$ and $T = N_1 (1 + q)$. So $\mathrm{F1} = \frac{2q}{1 + q}$, which goes from
# 0 to 1 with $q$. The weights are $\frac{1}{S} - \frac{1}{T} = \frac{1}{N_1 q (1 +
# q)}$ on crack and $\frac{1}{N_1 (1 + q)}$ elsewhere. Their ratio is $r =
# \frac{1}{q}$: without bound for $q \to 0$, and 1 for $q \to 1$.

# %%
n_pos, q = 20, 0.3
s, t = n_pos * q, n_pos + n_pos * q
np.testing.assert_allclose([2 * s / t, (1 / s - 1 / t) * t], [2 * q / (1 + q), 1 / q])

# %% [markdown]
# **B.** Write $N_1 = pN$. Then $S = pN\sigma$, $A = N\sigma$ and $T = N(p + \sigma)$. Leave out
# $N$, and what all pixels have in common.
#
# - *Cross-entropy*: $-p\,(1 - \sigma) + (1 - p)\,\sigma = \sigma - p$. It rests at $\sigma = p$,
#   which is 0.02.
# - *Eq. 8*: the sum of its weights is $-\frac{1}{\sigma} + \frac{1}{p + \sigma}$, which is negative
#   for every $\sigma$. The bias never rests, and $\sigma \to 1$. It must: the soft F1 is
#   $\frac{2 p \sigma}{p + \sigma}$, and grows with $\sigma$.
# - *Eq. 11*: $\frac{1}{S} - \frac{1}{T}$ is $(p + (1 - p)\,\sigma) / (p\,\sigma)$ times
#   $\frac{1}{T}$. So the pulls balance where
#
# $$ \big(p + (1 - p)\,\sigma\big)(1 - \sigma) = (1 - p)\,\sigma^2 . $$
#
# For small $p$ this is nearly $\sigma\,(1 - \sigma) = \sigma^2$, so $\sigma = \frac{1}{2}$.
# Multiplied out it is $2\,(1 - p)\,\sigma^2 - (1 - 2p)\,\sigma - p = 0$, whose positive root is
#
# $$ \sigma = \frac{1 - 2p + \sqrt{1 + 4p - 4p^2}}{4\,(1 - p)}, $$
#
# which is 0.510 <!-- = rest(0.02) --> for $p = 1/50$.
#
# So cross-entropy's network calls no pixel crack, and its logit is $\log(0.02 / 0.98)$, about
# $-3.9$ <!-- = np.log(0.02 / 0.98) -->: that much evidence it takes to change its mind. That of Eq.
# 8 is on its way to calling all pixels crack. That of Eq. 11 waits at the threshold, and a little
# evidence tips each pixel to its side.


# %%
def rest(p: float) -> float:
    return float((1 - 2 * p + np.sqrt(1 + 4 * p - 4 * p**2)) / (4 * (1 - p)))


def pull(loss: losses.Loss, sigma: float) -> float:
    """The sum of the gradients of 5000 pixels, of which 100 are crack."""
    crack = np.arange(5000) < 100
    x = np.full(5000, np.log(sigma / (1 - sigma)))
    return float(losses.gradient(loss, x, crack, losses.sums(loss, x, crack)).sum())


assert abs(pull(losses.CrossEntropy(), 0.02)) < 1e-12
assert abs(pull(losses.PseudoF1(), rest(0.02))) < 1e-12
assert all(pull(losses.F1(), sigma) < 0 for sigma in np.linspace(0.01, 0.99, 99))
assert pull(losses.PseudoF1(), 0.5) < 0 < pull(losses.PseudoF1(), 0.52)

# %% [markdown]
# **C.** For two pixels $i \ne j$, with $d_j = \sigma_j (1 - \sigma_j)$,
#
# $$ \begin{aligned}
# J_{ij} &= \varphi'(S)\, d_j\, k(\sigma_i), \\
# J_{ji} &= \varphi'(S)\, d_i\, k(\sigma_j) .
# \end{aligned} $$
#
# They are equal if $k(\sigma_i) / d_i = k(\sigma_j) / d_j$. As that must hold for any two
# probabilities, the quotient is a constant: $k(\sigma) = c\, \sigma (1 - \sigma)$. Let $\Phi$ be an
# integral of $\varphi$. Then $c\, \Phi(S)$ is the loss, since $\partial S / \partial x_i = d_i$.
#
# Here $T = N_1 + S$, so in both equations $\varphi(S) = -\left(\frac{1}{S} - \frac{1}{N_1 +
# S}\right)$. In Eq. 8 $k$ is $\sigma (1 - \sigma)$, and the loss is $\log(N_1 + S) - \log
# S$. In Eq. 11 $k$ is $1 - \sigma$, and there is no loss. So the choice is between a weight that
# follows the batch and a slope that does not fade: with both there is no loss. Exercise 5.3 holds
# the weights fixed. Then $\varphi' = 0$, the Jacobian is diagonal, and every slope has a loss.

# %%
x = np.array([0.3, -1.2, 2.0])
steps = 1e-40j * np.eye(3)
skew = {}
for name, slope in (("Eq. 8", lambda s: s * (1 - s)), ("Eq. 11", lambda s: 1 - s)):
    columns = []
    for step in steps:
        s = 1 / (1 + np.exp(-(x + step)))
        columns.append(np.imag(-(1 / s.sum() - 1 / (3 + s.sum())) * slope(s)) / 1e-40)
    J = np.stack(columns, axis=1)
    skew[name] = np.abs(J - J.T).max()
    print(f"{name:6} largest |J - J.T| {skew[name]:.0e}")
assert skew["Eq. 8"] < 1e-15 < 1e-3 < skew["Eq. 11"]
