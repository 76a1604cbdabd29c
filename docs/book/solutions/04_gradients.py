# %% [markdown]
# # Solutions to chapter 4

# %%
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 4.1
#
# The formula with $h v$ instead of $h$. `x + h * v` makes a new array, so `x` stays as it is.

# %%


def richardson(f: Callable[[Array], float], x: Array, v: Array, h: float) -> float:
    def central(h: float) -> float:
        return (f(x + h * v) - f(x - h * v)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


# %% [markdown]
# For a polynomial of degree 4 or less the derivative is exact at any step, since the first term
# that remains contains the fifth derivative:

# %%
x = np.array([1.5])
v = np.array([1.0])
for power in (4, 5):
    found = richardson(lambda x, power=power: float(np.sum(x**power)), x, v, 0.5)
    print(f"x**{power}: {found:.9f}, exact {power * 1.5 ** (power - 1):.9f}")

# %% [markdown]
# ## Exercise 4.2
#
# The real part decides on which side of the kink we are. On either side the function is $z$ or
# $-z$, which is analytic. For a real array `z.real` is `z` itself, so one line serves both.

# %%


def absolute(z: Array) -> Array:
    return np.where(z.real < 0, -z, z)


# %% [markdown]
# One might think of $\sqrt{z^2}$. It is right for moderate numbers, but the square of $10^{-200}$
# is 0 in float64, and that of $10^{200}$ is infinite.

# %%
print(absolute(np.array([-3.0, 2.0]) + 1e-40j).imag / 1e-40)

# %% [markdown]
# ## Exercise 4.3
#
# One complex step for each element gives the true gradient up to rounding. Central differences
# would not do. Their own error is $10^{-11}$ at best, for a smooth function near 1. It grows with
# the third derivative and with the value of $f$, whose rounding is divided by the step: for a wave
# of large frequency on a large constant no step brings it below the tolerance of $10^{-9}$.
#
# The errors are compared with the largest element of the *true* gradient. The claimed one may
# contain a huge wrong element, next to which nothing else would look wrong.

# %%


def wrong_elements(f: Callable[[Array], Any], gradient: Array, x: Array) -> Array:
    true = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        moved = x.astype(np.complex128)
        moved[at] += 1e-40j
        true[at] = f(moved).imag / 1e-40
    return np.abs(gradient - true) > 1e-9 * np.abs(true).max()


# %%
x = np.array([0.1, 0.2, 0.3])
claimed = np.exp(x)
claimed[1] += 1e-8
print(wrong_elements(lambda x: np.sum(np.exp(x)), claimed, x))

# %% [markdown]
# Here is such a function, and the smallest error that central differences reach with any step:

# %%


def wave(x: Any) -> Any:
    return 1e6 + 10 * np.sin(500 * x) / 500


steps = np.logspace(-9, -1, 200)
differences = (wave(0.3 + steps) - wave(0.3 - steps)) / (2 * steps)
print(f"at best {np.abs(differences - 10 * np.cos(150)).min():.0e}")

# %% [markdown]
# ## On paper
#
# **A.** $(x + ih)^3 = x^3 + 3ix^2h - 3xh^2 - ih^3$. Its imaginary part over $h$ is $3x^2 - h^2$:
# the error is $-h^2$, as Taylor's formula says, for $f''' = 6$. Beside 3 it is lost in rounding as
# soon as $h^2$ is below half the distance of the float64 numbers there, $2 \cdot 10^{-16}$: for $h$
# below about $10^{-8}$.

# %%
for h in (1e-3, 1e-7, 1e-8, 1e-9):
    print(f"h = {h:.0e}: error {((1 + 1j * h) ** 3).imag / h - 3:.1e}")

# %% [markdown]
# **B.** The derivative of $C h^p + \varepsilon F / h$ is 0 where
# $p\, C h^{p-1} = \varepsilon F / h^2$. Multiply by $h / p$: $C h^p$ is $\frac{1}{p}$ of
# $\varepsilon F / h$. The step is $h = (\varepsilon F / (p\, C))^{1/(p+1)}$.
#
# With $C = F = 1$ and without factors of at most 2, $h = \varepsilon^{1/(p+1)}$, and the error is
# $\varepsilon / h = \varepsilon^{p/(p+1)}$: the fraction $\frac{p}{p+1}$ of the digits is left. Of
# 16 these are 8 <!-- = 16 * 1 / 2 -->, 10.7 <!-- = 16 * 2 / 3 --> and 12.8 <!-- = 16 * 4 / 5 -->;
# of 7 they are 3.5 <!-- = 7 / 2 -->, 4.7 <!-- = 7 * 2 / 3 --> and 5.6 <!-- = 7 * 4 / 5 -->. Fifteen
# of 16 takes $p = 15$. The best step would be $10^{-16/16} = 0.1$: the formula needs some sixteen
# values of $f$, spread over an interval longer than 1. There a function of any use is no longer a
# polynomial of degree 15, or has a kink, and $C$, which contains the sixteenth derivative, is far
# from 1. The complex step needs one value and loses nothing.

# %%
h = np.logspace(-12, 0, 200_001)
for p in (1, 2, 4):
    truncation, rounding = h**p, 1e-16 / h
    best = (truncation + rounding).argmin()
    np.testing.assert_allclose(truncation[best] / rounding[best], 1 / p, rtol=1e-3)
    print(f"order {p}: h = {h[best]:.0e}, error {(truncation + rounding)[best]:.0e}")

# %% [markdown]
# **C.** In the square of $\sum_i \delta_i v_i$ the terms $\delta_i^2 v_i^2$ are $\delta_i^2$, and
# the mean of $\delta_i \delta_j v_i v_j$ is 0 for $i \ne j$, since $v_i$ and $v_j$ are independent.
# So the mean square is $|\delta|^2$.
#
# Let two elements of the gradient, $a$ and $b$, be exchanged. Then $\delta$ is $b - a$ in one
# place, $a - b$ in the other and 0 elsewhere, and $\langle \delta, v \rangle = (b - a)(v_i - v_j)$.
# That is 0 whenever the two signs are equal: with the probability $\frac{1}{2}$. No $\delta \ne 0$
# is missed more often. Take an element $\delta_i \ne 0$, and let all other signs be drawn. For at
# most one of the two values of $v_i$ the sum is 0, and each of them has the probability
# $\frac{1}{2}$.
#
# Three directions miss the exchange with the probability $\frac{1}{8}$, and $k$ with $2^{-k}$: it
# takes 24 <!-- = np.ceil(np.log2(1e7)) --> for one in ten million. By the chapter's estimate one
# normal direction does that already: there $v_i - v_j$ has a density, and no single value, such as
# 0, has a probability above 0.

# %%
signs = np.random.default_rng(0).choice((-1.0, 1.0), (100_000, 3, 5))
delta = np.array([0, 0.3, 0, -0.3, 0])
seen = signs @ delta
np.testing.assert_allclose((seen**2).mean(), delta @ delta, rtol=0.02)
missed = (seen == 0).mean(), (seen == 0).all(axis=1).mean()
print("missed by one direction {:.3f}, by three {:.3f}".format(*missed))
np.testing.assert_allclose(missed, (1 / 2, 1 / 8), atol=0.01)
