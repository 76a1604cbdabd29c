# %% [markdown]
# # Solutions of chapter 1

# %%
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.gradcheck import gradcheck
from minispiral.kernels.arithmetic import sigmoid
from minispiral.tensor import Function, Tensor

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 1.1
#
# Work backwards from the loss. The last step is a product, so $z$ gets $y$, and $y$ gets $z$. The
# step before passes its gradient times $y$ to $y$, *twice*, because $y$ is both operands of the
# product; its sum passes the gradient itself to $w$. Then $y$ is complete: $g_y = z + 2\,g_z\,y$.
# The first step passes $g_y x$ to $w$, which adds to what $w$ already has, and $g_y w$ to $x$.


# %%
def gradients(w: float, x: float) -> tuple[float, float]:
    y = w * x
    z = y * y + w

    gz, gy = y, z  # loss = z * y
    gy += gz * y + gz * y  # z = y * y + w
    gw = gz
    gw += gy * x  # y = w * x
    gx = gy * w
    return gw, gx


# %% [markdown]
# Written out, $L = y^3 + wy = w^3x^3 + w^2x$. So $\partial L/\partial w = 3w^2x^3 + 2wx$, and
# $\partial L/\partial x = 3w^3x^2 + w^2$.

# %%
w, x = 2.0, 3.0
assert gradients(w, x) == (3 * w**2 * x**3 + 2 * w * x, 3 * w**3 * x**2 + w**2)

# %% [markdown]
# ## Exercise 1.2
#
# The derivative is $e^x / (1 + e^x)$, the sigmoid of $x$, and `gy` is multiplied by it. For large
# $x$ the exponential overflows; $\log(1 + e^x) = x + \log(e^{-x} + 1)$ is the same and harmless
# there. The formula of the hint is the first form for $x < 0$ and the second for $x > 0$.


# %%
class Softplus(Function):
    def forward(self, x: Array) -> Array:
        self.x = x
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, gy: Array) -> Array:
        return gy * sigmoid(self.x)


def softplus(x: Tensor) -> Tensor:
    return Softplus()(x)


# %%
report = gradcheck(softplus, [np.random.default_rng(0).standard_normal((3, 4))])
assert report.passed, report

# %% [markdown]
# `np.log1p(v)` is $\log(1 + v)$, accurate even where $v$ is so small that $1 + v$ rounds to 1.
#
# ## Exercise 1.3
#
# Two kinds of axes are summed: the leading ones that the input does not have, and those where it
# has length 1 and the result has more. The first kind vanishes, the second keeps length 1.


# %%
def sum_to_shape(g: Array, shape: tuple[int, ...]) -> Array:
    leading = g.ndim - len(shape)
    g = g.sum(axis=tuple(range(leading)))
    broadcast = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return g.sum(axis=broadcast, keepdims=True)


# %%
g = np.ones((2, 3, 4))
print(sum_to_shape(g, (3, 1)).tolist(), sum_to_shape(g, (4,)).tolist())

# %% [markdown]
# Summing an axis of length 1 that was not broadcast does no harm. The library's version,
# `minispiral.tensor._unbroadcast`, returns `g` itself where nothing was broadcast, which is why
# `Add` makes a copy for one of its two inputs.

# %% [markdown]
# ## On paper
#
# The steps are $v = wx$, $y = v + b$, $u = y \cdot y$, $L = u \cdot w$. Backwards: $g_u = w$, and
# $w$ gets a first part, $u = y^2$. The product $y \cdot y$ gives $y$ two equal parts, $g_y = 2 g_u
# y = 2wy$. The sum passes it on: $g_b = g_v = 2wy$. The product $wx$ gives $w$ its second part,
# $2wy\,x$. Together $\partial L / \partial w = y^2 + 2wxy$ and $\partial L / \partial b = 2wy$.

# %%
w, x, b, h = 1.3, 0.7, -0.4, 1e-6
y = w * x + b
slope = (((w + h) * x + b) ** 2 * (w + h) - ((w - h) * x + b) ** 2 * (w - h)) / (2 * h)
np.testing.assert_allclose(slope, y**2 + 2 * w * x * y, rtol=1e-6)
