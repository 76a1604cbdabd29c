# %% [markdown]
# # Solutions to chapter 2

# %%
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels.conv2d import conv2d, conv2d_input_grad

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 2.1
#
# Padding the rows and then the columns is one linear operation after another, $A = C R$, the rows
# $R$ first. The adjoint takes them in reverse order, $A^{\mathsf T} = R^{\mathsf T} C^{\mathsf T}$.
# Here the two are independent, so the order does not matter, and the same few lines serve both
# axes.
#
# Along one axis, the padded row `c b | a b c d | c b` passes each gradient back to the pixel it was
# copied from. The inner part goes straight back. The rim on the left, read outwards, is `b c`: it
# is added to pixels 1 and 2. The rim on the right is `c b`, added to pixels $n - 2$ and $n - 3$. A
# pixel that was copied to both sides receives both: hence `+=`, twice.

# %%


def mirror_pad_grad(gy: Array, pad: int) -> Array:
    for axis in (1, 2):
        gy = np.moveaxis(gy, axis, 0)
        n = len(gy) - 2 * pad
        gx = gy[pad : pad + n].copy()
        gx[1 : pad + 1] += gy[:pad][::-1]
        gx[n - 1 - pad : n - 1] += gy[pad + n :][::-1]
        gy = np.moveaxis(gx, 0, axis)
    return gy


# %% [markdown]
# The test of every adjoint, $\langle A x, y \rangle = \langle x, B y \rangle$:

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((2, 5, 6, 3))
y = rng.standard_normal((2, 9, 10, 3))
padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
np.testing.assert_allclose(np.vdot(padded, y), np.vdot(x, mirror_pad_grad(y, 2)))

# %% [markdown]
# ## Exercise 2.2
#
# Write the forward loop and swap the two images in its line. Nothing else is needed. Since a pixel
# of `gy` and a tap always lead to a pixel inside the image, there is no border to take care of.
#
# The loop over the pixels of `gy` can be left to NumPy, as in `fold`: one tap sends all of `gy` to
# pixels that lie `stride` apart, no two to the same.

# %%


def dilated_input_grad(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, dilation: int
) -> Array:
    n, oh, ow, _ = gy.shape
    kh, kw, big, _ = w.shape
    gx = np.zeros((n, *out_hw, big))
    for p in range(kh):
        for q in range(kw):
            row, col = dilation * p, dilation * q
            target = gx[:, row : row + stride * oh : stride, col : col + stride * ow : stride]
            target += gy @ w[p, q].T
    return gx


# %% [markdown]
# A dilated kernel is a larger kernel with zeros between its taps:

# %%
w = rng.standard_normal((3, 2, 3, 4))
spread = np.zeros((7, 4, 3, 4))
spread[::3, ::3] = w
gy = rng.standard_normal((2, 3, 4, 4))
np.testing.assert_allclose(
    dilated_input_grad(gy, w, (11, 10), 2, 3), conv2d_input_grad(gy, spread, (11, 10), 2)
)


# %% [markdown]
# ## Exercise 2.3
#
# One row of pixels, $k = 3$, no padding: $y_a = x_a w_0 + x_{a+1} w_1 + x_{a+2} w_2$. So $x_u$
# occurs in $y_u$ with $w_0$, in $y_{u-1}$ with $w_1$ and in $y_{u-2}$ with $w_2$:
#
# $$ g^x_u = g^y_{u-2}\, w_2 + g^y_{u-1}\, w_1 + g^y_u\, w_0. $$
#
# This is a window of $g^y$ that begins at $u - 2$, with the weights in reverse order. At $u = 0$ it
# begins two pixels before the image: the padding is $k - 1 = 2$. If the forward pass was padded by
# $P$, pixel $u$ of the image is pixel $u + P$ of the padded one, and the window begins at
# $u + P - (k - 1)$: the padding is $k - 1 - P$.
#
# In two dimensions both axes are reversed, which rotates the kernel by 180 degrees. Now `gy` is the
# image that is gathered from, so its channels come first: the last two axes are swapped.

# %%


def turned(w: Array, pad: int) -> tuple[Array, int]:
    return w[::-1, ::-1].swapaxes(2, 3), w.shape[0] - 1 - pad


x = rng.standard_normal((2, 6, 7, 3))
w = rng.standard_normal((3, 3, 3, 4))
gy = rng.standard_normal(conv2d(x, w, 1, 1).shape)
v, new_pad = turned(w, 1)
np.testing.assert_allclose(
    conv2d(gy, v, 1, new_pad), conv2d_input_grad(gy, w, (6, 7), 1, 1), rtol=0, atol=1e-12
)

# %% [markdown]
# ## On paper
#
# **A.** There are $\lfloor (9 + 2 - 3)/2 \rfloor + 1 = 5$ outputs. Output $j$ reads pixel $2j$ and
# its two neighbours. The first row is $(w_1, w_2, 0, \dots, 0)$, since $w_0$ falls on the padding,
# and the last is $(0, \dots, 0, w_0, w_1)$. The odd pixels 1, 3, 5 and 7 are the end of one window
# and the beginning of the next: two taps. The even ones are the middle of one window.

# %%
taps = np.zeros(9)
for j in range((9 + 2 - 3) // 2 + 1):
    taps[max(2 * j - 1, 0) : 2 * j + 2] += 1
print(taps)

# %% [markdown]
# **B.** Output $j$ reaches pixel $t = sj + q$ through tap $q$. So pixel $t$ is reached through the
# taps $q$ from 0 to $k - 1$ that leave the same remainder as $t$ when divided by $s$. Of the $k$
# taps, the first $s \lfloor k/s \rfloor$ have each of the $s$ remainders $\lfloor k/s \rfloor$
# times. If $s$ divides $k$, these are all. If not, fewer than $s$ taps are left, whose remainders
# differ: so some pixels get one tap more, and the others none.
#
# With free weights, each remainder sums its own: an even pixel gets $w_0 + w_2$ times the constant,
# an odd one $w_1$ times. So the condition is $w_1 = w_0 + w_2$, and the weights asked for are
# $\frac{1}{2}, 1, \frac{1}{2}$. Of any row they make $x_{2j+1} = y_j$ and
# $x_{2j} = \frac{1}{2}(y_{j-1} + y_j)$: between two numbers stands their mean, which is *linear
# interpolation*. So the checkerboard is not a property of the layer. It is in its weights, and
# training can remove it.

# %%
for k in range(1, 10):
    for s in range(1, 10):
        ones = np.ones((1, 12, 1, 1))
        reached = conv2d_input_grad(ones, np.ones((k, 1, 1, 1)), (11 * s + k, 1), s)[0, k:-k, 0, 0]
        assert set(reached) == {k // s, -(-k // s)}

row = rng.standard_normal((1, 5, 1, 1))
larger = conv2d_input_grad(row, np.array([0.5, 1, 0.5]).reshape(3, 1, 1, 1), (11, 1), 2)[0, :, 0, 0]
between = np.interp(np.arange(1, 10), 2 * np.arange(5) + 1, row[0, :, 0, 0])
np.testing.assert_allclose(larger[1:10], between)

# %% [markdown]
# **C.** $A^{\mathsf T} A$ cannot: $A x = 0$ is a system of $o$ equations with $n > o$ unknowns, so
# some $x \ne 0$ becomes 0, and nothing brings it back. $A A^{\mathsf T}$ can. Its entries are the
# inner products of the rows of $A$. For 3 weights and stride 2 each row shares one pixel with the
# next, through its last weight and the other's first:
#
# $$ \begin{aligned}
# (A A^{\mathsf T})_{jj} &= w_0^2 + w_1^2 + w_2^2, \\
# (A A^{\mathsf T})_{j,j+1} &= w_2\, w_0,
# \end{aligned} $$
#
# and all entries further from the diagonal are 0. For the kernel $1, -2, 1$ of the chapter that is
# 6 on the diagonal and 1 beside it. Nothing changes if $w_0 w_2 = 0$ and
# $w_0^2 + w_1^2 + w_2^2 = 1$: one of the outer weights is 0, and the squares sum to 1. If the
# kernel is not longer than the stride, no two rows share a pixel, and it is enough that the squares
# sum to 1.


# %%
def matrix(kernel: list[float]) -> Array:
    A = np.zeros((3, 7))
    for j in range(3):
        A[j, 2 * j : 2 * j + 3] = kernel
    return A


A = matrix([1, -2, 1])
print(A @ A.T)
A = matrix([0.6, 0.8, 0])
np.testing.assert_allclose(A @ A.T, np.eye(3))
assert np.linalg.matrix_rank(A.T @ A) == 3
