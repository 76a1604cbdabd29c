# %% [markdown]
# # Solutions to chapter 1

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
# **A.** The steps are $v = wx$, $y = v + b$, $u = y \cdot y$, $L = u \cdot w$. Backwards:
# $g_u = w$, and $w$ gets a first part, $u = y^2$. The product $y \cdot y$ gives $y$ two equal
# parts, $g_y = 2 g_u y = 2wy$. The sum passes it on: $g_b = g_v = 2wy$. The product $wx$ gives $w$
# its second part, $2wy\,x$. Together $\partial L / \partial w = y^2 + 2wxy$ and
# $\partial L / \partial b = 2wy$.

# %%
w, x, b, h = 1.3, 0.7, -0.4, 1e-6
y = w * x + b
slope = (((w + h) * x + b) ** 2 * (w + h) - ((w - h) * x + b) ** 2 * (w - h)) / (2 * h)
np.testing.assert_allclose(slope, y**2 + 2 * w * x * y, rtol=1e-6)

# %% [markdown]
# **B.** A step changes through each of its inputs, so
#
# $$ \dot v_k = \sum_j \frac{\partial v_k}{\partial v_j}\, \dot v_j, $$
#
# over the $v_j$ that go into $v_k$, from $\dot v = 1$ for the chosen input and 0 for the others.
# The inputs of a step come before it: the walk goes in the order of the program, along with it, and
# $\dot v_j$ may be forgotten when $v_j$ is. So this way, *forward mode*, needs no tape. A walk
# forwards gives the derivatives of all results with respect to one input: $n$ walks. A walk
# backwards gives those of one result with respect to all inputs: $m$ walks. Training has a single
# result, the loss, and millions of inputs.
#
# The number $u$ is the only result of the first half. One walk backwards from it gives all
# $\partial u / \partial x_i$. It is the only input of the second half. One walk forwards from it
# gives all $\partial y_k / \partial u$. By the chain rule $\partial y_k / \partial x_i$ is the
# product of the two.

# %%
rng = np.random.default_rng(0)
x, inwards, outwards = rng.standard_normal((3, 100))


def program(x: Array) -> Array:
    return np.exp(outwards * np.sum(np.sin(x) * inwards) / 10)


backwards = np.cos(x) * inwards  # of u, by every input
forwards = outwards / 10 * program(x)  # of every result, by u
for i in (0, 57):
    by_one_input = np.imag(program(x + 1e-40j * np.eye(100)[i])) / 1e-40
    np.testing.assert_allclose(np.outer(forwards, backwards)[:, i], by_one_input)

# %% [markdown]
# **C.** Take $y = w \cdot w$, $z = y + y$ and $L = y \cdot z$. The last product passes $z$ to $y$,
# and then $y$ to $z$. So the first product has waited longest. It is visited with the part
# $z = 2w^2$ alone, and passes $2w \cdot 2w^2$ to $w$. The sum is next. It passes $y + y = 2w^2$ to
# $y$, so the first product waits again, is visited again, and passes another $2w \cdot 2w^2$.
# Together these are $8w^3$, which is right: $L = 2w^4$.
#
# The friend is wrong, because `backward` is linear in `gy`. What it gives for one part of a
# gradient, and what it gives for the rest, add up to what it gives for the whole, and they are
# added: at the weights, and in `gradients` on the way. (A pseudo-gradient must be linear too.) What
# is lost is time, as with the recursion. In the library it would not even run: what the function
# had kept was released at the first visit, so the second is refused, as that of a tape that is
# freed already.

# %%
w = 1.5
y = w * w
z = y + y
passes: dict[str, Any] = {
    "loss": lambda g: {"y": g * z, "z": g * y},
    "z": lambda g: {"y": g + g},
    "y": lambda g: {"w": 2 * w * g},
}
waiting, visited, gw = {"loss": 1.0}, [], 0.0
while waiting:
    name = next(iter(waiting))
    visited.append(name)
    for to, g in passes[name](waiting.pop(name)).items():
        if to == "w":
            gw += g
        else:
            waiting[to] = waiting.get(to, 0) + g
assert (visited, gw) == (["loss", "y", "z", "y"], 8 * w**3)
