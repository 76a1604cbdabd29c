# %% [markdown]
# # 2. Convolution, its adjoint, and why a transposed convolution is one
#
# After this chapter you can
#
# - compute a convolution with any stride and padding, and say how large its result is;
# - find the adjoint of a linear operation from its loop, and check it with one number;
# - write down both gradients of a convolution without doing any calculus;
# - say why a transposed convolution needs no kernel of its own;
# - turn the loops into matrix products (*im2col*), and cut these into tiles that fit a core's
#   cache.
#
# It takes about an hour and a half. You need chapter 1 (the tape) and matrix multiplication.

# %% [markdown]
# ## The idea
#
# A hairline crack is a thin dark line. To find such lines, hold a small square of *weights*, the
# **kernel**, over each place of the photograph. The part of the photograph under the kernel is the
# **window** of that place. Multiply each pixel of the window by the weight above it and add up the
# products. The sum is one pixel of the output. This is a **convolution**: each output pixel
# *gathers* from its window.
#
# A kernel whose middle column is $-2$ and whose outer columns are $1$ gives a large number where
# the middle of the window is darker than its sides, and 0 where everything is equally bright.
# Training finds such weights by itself. For that it needs gradients, and they flow back along the
# same connections: each output pixel *scatters* the gradient that arrives there over the pixels of
# its window. The connections are the same; only the direction changes.
#
# This scatter is called the **adjoint** of the convolution. A network that shrinks a photograph by
# convolutions needs something that enlarges it again. It uses the adjoint for that too, under the
# name of **transposed convolution**. It is the same function.
#
# The module `minispiral.kernels.conv2d` therefore has three functions: the gather, the scatter, and
# one for the gradient of the weights. They serve both kinds of layer. (Functions that do such heavy
# work are called kernels too, hence the module's name. In this chapter a kernel is the square of
# weights.)

# %%
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from minispiral import ops
from minispiral.gradcheck import gradcheck
from minispiral.kernels import conv2d as library
from minispiral.kernels import reference
from minispiral.networks.table1 import ENCODER_CHANNELS
from minispiral.tensor import Function, Tensor

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
rng = np.random.default_rng(2)

# %% [markdown]
# ## One row of pixels
#
# Take a single row of 7 pixels $x_0, \dots, x_6$ and a kernel of 3 weights $w_0, w_1, w_2$. The
# kernel moves by $s = 2$ pixels at a time: $s$ is the **stride**. It fits at 3 places, which gives
# 3 output pixels $y_j$.
#
# $$ y_j = \sum_{q=0}^{2} x_{sj+q}\, w_q, \qquad j = 0, 1, 2 $$
#
# As a loop:

# %%
pixels = np.array([2.0, 2, 2, 0, 2, 2, 2])  # brightness; the crack is the 0 in the middle
kernel = np.array([1.0, -2, 1])
stride = 2


def conv_row(x: Array) -> Array:
    y = np.zeros((len(x) - len(kernel)) // stride + 1)
    for j in range(len(y)):
        for q in range(len(kernel)):
            y[j] += x[stride * j + q] * kernel[q]
    return y


print(conv_row(pixels))

# %% [markdown]
# The result is largest in the middle, where the crack is <!-- holds conv_row(pixels).argmax() == 1
# -->.
#
# Each $y_j$ is a sum of pixels with fixed factors. So the convolution is **linear** in $x$, and
# like every linear operation it is multiplication by a matrix, $y = A x$. Column $c$ of $A$ is the
# output when pixel $c$ is 1 and all others are 0.

# %%
A = np.stack([conv_row(one_hot) for one_hot in np.eye(7)], axis=1)
print(A)
np.testing.assert_allclose(A @ pixels, conv_row(pixels))

# %% [markdown]
# Nobody stores this matrix: it is mostly zeros, and every row holds the same three weights. But it
# is good to think with.
#
# ### The gradient of a linear operation
#
# Chapter 1 asks one thing of each operation. Let $L$ be the loss, a single number that depends on
# $y$ and through it on $x$. We are given $g^y = \partial L/\partial y$, an array of the shape of
# $y$, called `gy` in the code. What is $g^x = \partial L/\partial x$, called `gx`?
#
# Change $x$ by a little $\Delta x$. Then $y$ changes by $A\,\Delta x$ and the loss by
#
# $$ \Delta L = \langle g^y, A\,\Delta x \rangle = \langle A^{\mathsf T} g^y, \Delta x \rangle. $$
#
# Here $\langle a, b \rangle$ is the sum of $a_i b_i$ over all elements, the **inner product**. The
# second step holds for every matrix: $A$ may move to the other side if it is transposed, since
# either side sums $g^y_j A_{jc}\, \Delta x_c$ over all $j$ and $c$. The factor of $\Delta x$ is the
# gradient with respect to $x$:
#
# $$ g^x = A^{\mathsf T} g^y. $$
#
# This is the vector-Jacobian product of chapter 1: the Jacobian of a linear operation is its
# matrix. An operation $B$ with $\langle A x, y \rangle = \langle x, B y \rangle$ for *all* $x$ and
# $y$ is called the **adjoint** of $A$. For matrices it is the transpose; we say adjoint where there
# is a loop instead of a matrix. So: *the gradient of a linear operation with respect to its input
# is its adjoint, applied to the gradient that arrives.* The value of $x$ does not matter.
#
# ### From the loop to its adjoint
#
# The line in the loop adds $x_{sj+q}$ times $w_q$ to $y_j$. That is the entry of $A$ in row $j$ and
# column $sj+q$. In $A^{\mathsf T}$ the same number is in row $sj+q$ and column $j$: it adds $y_j$
# times $w_q$ to $x_{sj+q}$. So keep the loop and swap the two arrays in its line.
#
# **Predict**, before you run it: what will the adjoint make of `gy = [1, 10, 100]`? Which of the
# seven numbers are sums of two?

# %%


def conv_row_adjoint(gy: Array, width: int) -> Array:
    gx = np.zeros(width)
    for j in range(len(gy)):
        for q in range(len(kernel)):
            gx[stride * j + q] += gy[j] * kernel[q]  # was: y[j] += x[stride * j + q] * kernel[q]
    return gx


gy = np.array([1.0, 10, 100])
print(conv_row_adjoint(gy, 7))
np.testing.assert_allclose(conv_row_adjoint(gy, 7), A.T @ gy)

# %% [markdown]
# Read the result from the left: 1, $-2$, then $1 + 10 = 11$ <!-- = conv_row_adjoint(gy, 7)[2] -->,
# where two windows overlap. That sum is the reason for the `+=`.
#
# One number checks whether one function is the adjoint of another: take random $x$ and $y$ and
# compare the two inner products. If they agree, the functions are adjoint. For a wrong function
# they would agree only by an accident that practically never happens.

# %%
x, y = rng.standard_normal(7), rng.standard_normal(3)
left, right = conv_row(x) @ y, x @ conv_row_adjoint(y, 7)
print(f"<A x, y> = {left:.12f}\n<x, B y> = {right:.12f}")
np.testing.assert_allclose(left, right)

# %%
fig, (ax, ax_t) = plt.subplots(1, 2, figsize=(7, 3.6), width_ratios=(7, 4), layout="constrained")
for axes, matrix, title in ((ax, A, "$A$: gather"), (ax_t, A.T, r"$A^\mathsf{T}$: scatter")):
    axes.imshow(matrix, cmap="PuOr", vmin=-3, vmax=3)
    for at in np.argwhere(matrix):
        axes.text(at[1], at[0], f"{matrix[tuple(at)]:.0f}", ha="center", va="center", fontsize=12)
    axes.set_title(title)
    axes.set_xticks(range(matrix.shape[1]))
    axes.set_yticks(range(matrix.shape[0]))
ax.set(xlabel="pixel of $x$", ylabel="pixel of $y$")
ax_t.set(xlabel="pixel of $y$", ylabel="pixel of $x$")

# %% [markdown]
# *Figure 2.1. A convolution of 7 pixels with stride 2 as a matrix, and its adjoint. Empty cells
# are 0. A row of A is a window to read from; the same column of its transpose is that window to
# write to.*

# %% [markdown]
# ## Pictures
#
# Now the real thing. All arrays are laid out like photographs: an image is `(h, w, c)`, that is
# rows, columns and channels (red, green and blue at first, hundreds of learnt ones later), and a
# *batch* of $n$ images is `(n, h, w, c)`. This layout is called NHWC.
#
# | symbol | code | meaning |
# |---|---|---|
# | $x$ | `x (n, h, w, big)` | the larger image |
# | $y$ | `y (n, oh, ow, small)` | the smaller image |
# | $w$ | `w (kh, kw, big, small)` | the weights: a kernel for every pair of channels |
# | $s$ | `stride` | pixels from one window to the next |
# | $P$ | `pad` | rows and columns of zeros put around $x$ before all else |
# | $b$ | `b` | number of the image in the batch |
# | $i, j$ | `i, j` | row and column in $y$ |
# | $p, q$ | `p, q` | row and column in the kernel, a *tap* |
# | $r, t$ | `row, col` | row and column in $x$ |
# | $c, k$ | | channel of $x$, channel of $y$ |
#
# `big` counts the channels of the *larger image*. It may be the smaller number: the first layer of
# a network makes 64 channels from 3.
#
# $$ \begin{aligned}
# y_{bijk} &= \sum_{p,q,c} x_{brtc}\; w_{pqck}, \\
# r &= si + p - P, \quad t = sj + q - P
# \end{aligned} $$
#
# with $x = 0$ outside the image. In mathematics a convolution flips the kernel; without the flip
# this is a *cross-correlation*. Deep learning calls it a convolution all the same.
#
# ### How large is the result?
#
# The padded image is $h + 2P$ high. The last window must end inside it: $s i + k_h \le h + 2P$. The
# largest such $i$ is $\lfloor (h + 2P - k_h)/s \rfloor$, where the brackets round down, and
# counting starts at 0:
#
# $$ o_h = \left\lfloor \frac{h + 2P - k_h}{s} \right\rfloor + 1. $$
#
# The network of the paper uses $3 \times 3$ kernels, stride 2 and no padding. From 255 pixels it
# gets down to a single one, in 7 <!-- = len(sides) - 1 --> layers.

# %%


def output_size(side: int, size: int, stride: int, pad: int) -> int:
    return (side + 2 * pad - size) // stride + 1


sides = [255]
while sides[-1] > 1:
    sides.append(output_size(sides[-1], size=3, stride=2, pad=0))
print(" -> ".join(map(str, sides)))

# %% [markdown]
# ### The loops
#
# Everything below rests on one list, the terms of this sum: which pixel of $y$ uses which pixel of
# $x$ through which tap.

# %%
Term = tuple[int, int, int, int, int, int]


def terms(
    big_hw: tuple[int, int], kernel_hw: tuple[int, int], stride: int, pad: int
) -> Iterator[Term]:
    """``i, j, p, q, row, col`` of every term of the sum, without those on the padding."""
    oh, ow = (output_size(n, k, stride, pad) for n, k in zip(big_hw, kernel_hw, strict=True))
    for i, j in np.ndindex(oh, ow):
        for p, q in np.ndindex(*kernel_hw):
            row, col = stride * i + p - pad, stride * j + q - pad
            if 0 <= row < big_hw[0] and 0 <= col < big_hw[1]:
                yield i, j, p, q, row, col


def conv(x: Array, w: Array, stride: int, pad: int) -> Array:
    n, h, v, _ = x.shape  # v is the width: w are the weights
    kh, kw, _, small = w.shape
    y = np.zeros((n, output_size(h, kh, stride, pad), output_size(v, kw, stride, pad), small))
    for i, j, p, q, row, col in terms((h, v), (kh, kw), stride, pad):
        y[:, i, j] += x[:, row, col] @ w[p, q]  # (n, big) @ (big, small)
    return y


x = rng.standard_normal((2, 8, 9, 3))
w = rng.standard_normal((3, 3, 3, 4))
y = conv(x, w, 2, 1)
print("x", x.shape, " w", w.shape, " y", y.shape)
np.testing.assert_allclose(y, reference.conv2d(x, w, 2, 1))
np.testing.assert_allclose(y, library.conv2d(x, w, 2, 1))

# %% [markdown]
# The sum over the channels $c$ is hidden in the small product `x[:, row, col] @ w[p, q]`. The
# library has such loops too, in `reference.py`: its fast functions are tested against them, as
# here.
#
# Here it is in motion.

# %%
picture = np.full((7, 7), 2.0)
for at in enumerate((3, 3, 3, 4, 5, 5, 5)):  # the crack's column in each row
    picture[at] = 0
line_kernel = np.tile([1.0, -2, 1], (3, 1))
found = conv(picture[None, ..., None], line_kernel[..., None, None], 2, 0)[0, ..., 0]
arriving = np.array([[1.0, 2, 1], [1, 1, 2], [3, 1, 1]])  # the gradient gy, any numbers


def show(ax: Axes, image: Array, title: str, limit: float, cmap: str = "PuOr") -> None:
    """An image with its numbers; places that hold nothing yet (NaN) stay empty."""
    ax.clear()
    ax.imshow(image, cmap=cmap, vmin=-limit, vmax=limit)
    for at in np.argwhere(~np.isnan(image)):
        ax.text(at[1], at[0], f"{image[tuple(at)]:.0f}", ha="center", va="center", fontsize=11)
    ax.set(title=title, xticks=[], yticks=[])


def frame(axes: Array, border: Array, number: int) -> None:
    """Draw window ``number`` of the gather above, and of the scatter below."""
    done = number + 1
    gathered = np.where(np.arange(9) < done, found.ravel(), np.nan).reshape(3, 3)
    so_far = np.where(np.arange(9) < done, arriving.ravel(), 0).reshape(1, 3, 3, 1)
    scattered = library.conv2d_input_grad(so_far, line_kernel[..., None, None], (7, 7), 2)
    show(axes[0, 0], picture, "$x$, and the kernel's window", 2.5, "gray")
    show(axes[0, 1], gathered, "gather: $y$", 24)
    show(axes[1, 0], scattered[0, ..., 0], "scatter: $g^x$ so far", 9)
    show(axes[1, 1], arriving, "$g^y$", 9)
    i, j = divmod(number, 3)
    for left, right in axes:
        left.add_patch(Rectangle((2 * j - 0.5, 2 * i - 0.5), 3, 3, **border))
        right.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **border))


fig, axes = plt.subplots(2, 2, figsize=(7, 6.6), width_ratios=(7, 4), layout="constrained")
border = {"fill": False, "edgecolor": "tab:red", "linewidth": 3}
animation = FuncAnimation(fig, lambda number: frame(axes, border, number), range(9), interval=900)

# %% [markdown]
# *Figure 2.2. (It moves.) Above, the nine windows of a picture of a crack, one after the other:
# each gives one pixel of y. Below, the backward pass with the same windows: each pixel of the
# gradient is multiplied by the kernel and added where the window lies. Where windows overlap, the
# sums grow. The kernel's columns are 1, -2 and 1.*

# %% [markdown]
# ## Both gradients from one sum
#
# The output depends on the image *and* on the weights, so there are two gradients. There is a way
# to see both at once. Take the inner product that tests adjoints, $\langle y, g \rangle$, and
# insert the formula for $y$:
#
# $$ \begin{aligned}
# T(x, w, g) &= \langle \mathrm{conv}(x, w), g \rangle \\
# &= \sum_{b,i,j,k} \; \sum_{p,q,c} x_{brtc}\; w_{pqck}\; g_{bijk}.
# \end{aligned} $$
#
# Every term has one factor from each of the three arrays, so $T$ is linear in each of them. If $g$
# is the gradient $g^y$ that arrives, a small change of $x$ or $w$ changes the loss by as much as it
# changes $T$. That is the equation for $\Delta L$ above. So
#
# $$ g^x = \frac{\partial T}{\partial x}, \quad g^w = \frac{\partial T}{\partial w} \quad
#    \text{and} \quad y = \frac{\partial T}{\partial g}. $$
#
# Differentiating a product with respect to one of its factors leaves out that factor. Each
# derivative sums the product of the other two:
#
# $$ \begin{aligned}
# y_{bijk} &= \sum x_{brtc}\, w_{pqck}, \\
# g^x_{brtc} &= \sum w_{pqck}\, g_{bijk}, \\
# g^w_{pqck} &= \sum x_{brtc}\, g_{bijk},
# \end{aligned} $$
#
# each over all terms in which the element on the left occurs. One list of terms gives three
# functions, which differ in a single line.

# %%


def conv_input_grad(gy: Array, w: Array, out_hw: tuple[int, int], stride: int, pad: int) -> Array:
    gx = np.zeros((len(gy), *out_hw, w.shape[2]))
    for i, j, p, q, row, col in terms(out_hw, w.shape[:2], stride, pad):
        gx[:, row, col] += gy[:, i, j] @ w[p, q].T  # (n, small) @ (small, big)
    return gx


def conv_weight_grad(
    x: Array, gy: Array, kernel_hw: tuple[int, int], stride: int, pad: int
) -> Array:
    gw = np.zeros((*kernel_hw, x.shape[3], gy.shape[3]))
    for i, j, p, q, row, col in terms(x.shape[1:3], kernel_hw, stride, pad):
        gw[p, q] += x[:, row, col].T @ gy[:, i, j]  # (big, n) @ (n, small)
    return gw


gy = rng.standard_normal(y.shape)
gx = conv_input_grad(gy, w, (8, 9), 2, 1)
gw = conv_weight_grad(x, gy, (3, 3), 2, 1)
np.testing.assert_allclose(gx, library.conv2d_input_grad(gy, w, (8, 9), 2, 1))
np.testing.assert_allclose(gw, library.conv2d_weight_grad(x, gy, (3, 3), 2, 1))

print(f"<y, gy> = {np.vdot(y, gy):.12f}")
print(f"<x, gx> = {np.vdot(x, gx):.12f}")
print(f"<w, gw> = {np.vdot(w, gw):.12f}")
np.testing.assert_allclose([np.vdot(x, gx), np.vdot(w, gw)], np.vdot(y, gy))

# %% [markdown]
# All three are $T$. (`np.vdot` is the inner product of arrays of any shape.) These two equations
# are a test that needs no second implementation. The library's own tests use it with random sizes,
# strides and paddings.
#
# Is it also the derivative? $T$ is linear in $w$, so the only error of a difference quotient is
# rounding. Change one weight:

# %%
changed = w.copy()
changed[1, 2, 0, 3] += 1
change = np.vdot(conv(x, changed, 2, 1), gy) - np.vdot(y, gy)
print(f"change of T: {change:.9f}   gw[1, 2, 0, 3]: {gw[1, 2, 0, 3]:.9f}")
np.testing.assert_allclose(change, gw[1, 2, 0, 3])

# %% [markdown]
# ## Three kernels for six needs
#
# A layer on the tape needs three things: a forward pass, the gradient of its input and the gradient
# of its weights. A convolution and a transposed convolution together therefore have six needs.
#
# A **transposed convolution** is the linear operation whose matrix is $A^{\mathsf T}$. It takes the
# small image and makes the large one, so its forward pass is the scatter. Its input gradient is the
# adjoint of the adjoint, $(A^{\mathsf T})^{\mathsf T} = A$: the gather. Its weight gradient has the
# same terms, except that the gradient now arrives at the large image.
#
# | | forward | gradient of the input | gradient of the weights |
# |---|---|---|---|
# | convolution | `conv2d(x, w)` | `conv2d_input_grad(gy, w)` | `conv2d_weight_grad(x, gy)` |
# | transposed | `conv2d_input_grad(x, w)` | `conv2d(gy, w)` | `conv2d_weight_grad(gy, x)` |
#
# For this to work, both must agree on the layout of the weights. That is why it is
# `(kh, kw, big, small)` and not "inputs, outputs": the channels of the larger image come first,
# whichever way the layer runs.
#
# With the `Function` of chapter 1 each layer takes a few lines.

# %%


class Conv(Function):
    def forward(self, x: Array, w: Array) -> Array:
        self.x, self.w = x, w
        return conv(x, w, 2, 0)

    def backward(self, gy: Array) -> tuple[Array, Array]:
        gx = conv_input_grad(gy, self.w, self.x.shape[1:3], 2, 0)
        return gx, conv_weight_grad(self.x, gy, self.w.shape[:2], 2, 0)


class ConvTranspose(Function):
    def forward(self, x: Array, w: Array) -> Array:
        self.x, self.w = x, w
        h, v = x.shape[1:3]
        return conv_input_grad(x, w, (2 * h + 1, 2 * v + 1), 2, 0)

    def backward(self, gy: Array) -> tuple[Array, Array]:
        return conv(gy, self.w, 2, 0), conv_weight_grad(gy, self.x, self.w.shape[:2], 2, 0)


small = rng.standard_normal((2, 3, 4, 4))  # (n, h, w, small)
weights = rng.standard_normal((3, 3, 5, 4))  # (kh, kw, big, small)
pairs = (Conv, ops.Conv2d, (2, 7, 9, 5)), (ConvTranspose, ops.ConvTranspose2d, (2, 3, 4, 4))
for ours, theirs, shape in pairs:
    image = rng.standard_normal(shape)
    ends = []
    for function in (ours(), theirs(stride=2)):
        inputs = Tensor(image, requires_grad=True), Tensor(weights, requires_grad=True)
        result = function(*inputs)
        ops.sum(result * result).backward()
        ends.append((result.data, *(leaf.grad for leaf in inputs)))
    for mine, wanted in zip(*ends, strict=True):
        np.testing.assert_allclose(mine, wanted)
    print(f"{ours.__name__:14}{shape} -> {ends[0][0].shape}: values and gradients agree")

# %% [markdown]
# And the checker of chapter 4 compares the backward pass with derivatives that know nothing about
# adjoints:

# %%
report = gradcheck(lambda x, w: ConvTranspose()(x, w), [small, weights])
print("passed" if report.passed else report)
assert report.passed

# %% [markdown]
# ## What a transposed convolution is not
#
# It is sometimes called a deconvolution, but it does not undo a convolution: $A^{\mathsf T}$ is not
# $A^{-1}$. It has the shape of an inverse and nothing more. What comes back is a blurred, weighted
# image.

# %%
print(np.round(A.T @ (A @ pixels), 1), "is not", pixels)

# %% [markdown]
# **The size.** Nor is the size always restored. With stride 2, images of 7 and of 8 pixels both
# give 3 <!-- holds output_size(7, 3, 2, 0) == output_size(8, 3, 2, 0) == 3 -->: the last column of
# the 8 is under no window. The floor in the size formula has no inverse.
# The adjoint must be told the size of the image it leads back to, which is why `out_hw` is an
# argument. A *transposed convolution* has no image to lead back to. It takes the smallest size that
# fits, which is the formula without its floor, solved for the larger side:
#
# $$ h = s\,(o_h - 1) + k_h - 2P. $$
#
# With $k_h = 3$, $s = 2$ and no padding this is $n \to 2n + 1$. From 1 it leads back through all
# sizes of the paper: each encoder there has a decoder whose output has exactly the encoder's input
# size.

# %%
for side in (7, 8):
    y8 = library.conv2d(np.ones((1, side, side, 1)), np.ones((3, 3, 1, 1)), 2)
    back = library.conv2d_input_grad(y8, np.ones((3, 3, 1, 1)), (side, side), 2)
    print(f"{side} -> {y8.shape[1]} -> {back.shape[1]}, last row of it: {back[0, -1, :, 0]}")

back_sides = [1]
while back_sides[-1] < 255:
    back_sides.append(2 * (back_sides[-1] - 1) + 3)
print(" -> ".join(map(str, back_sides)))
assert back_sides == sides[::-1]

# %% [markdown]
# **The pattern.** How many taps reach each pixel of the larger image? Scatter ones with a kernel of
# ones and count.

# %%
ones = np.ones((1, 7, 7, 1))
taps = library.conv2d_input_grad(ones, np.ones((3, 3, 1, 1)), (15, 15), 2)[0, ..., 0]

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
shown = ax.imshow(taps, cmap="viridis", vmin=0, vmax=4)
for at in np.ndindex(taps.shape):
    color = "black" if taps[at] > 2 else "white"
    ax.text(at[1], at[0], f"{taps[at]:.0f}", ha="center", va="center", color=color)
ax.set(xlabel="column (pixels)", ylabel="row (pixels)")
fig.colorbar(shown, label="taps that reach the pixel", ticks=range(5))

# %% [markdown]
# *Figure 2.3. A transposed convolution of 3 x 3 with stride 2: how many taps reach each pixel of
# its output. In the interior it depends on whether row and column are even or odd.*
#
# Of the four kinds of pixels one gets 4 taps, two get 2 and one gets 1 <!-- holds sorted(taps[5:7,
# 5:7].ravel()) == [1, 2, 2, 4] -->: on average $9/4 = k_h k_w / s^2$. This unevenness causes the
# *checkerboard artefacts* of transposed convolutions. Training can learn weights that even it out.
# The average, times the channels, is the *fan-in*: the number of terms in the sum that makes a
# pixel. The first random weights are drawn around 0 with a mean square (a *variance*) of 2 divided
# by it, so that the values of each layer start as large as those of the layer before. (The 2 makes
# up for the ReLU, which sets half of the values to 0.) In the library that is `he_normal`.
#
# ![Windows of a convolution or a transposed one, and how many taps reach each
# pixel](figures/taps.svg)
#
# *To touch, on the site. Choose a direction, kernel, stride and padding. For which kernels and
# strides does the checkerboard vanish? A resize-convolution makes each pixel of the smaller image a
# square as wide as the stride, and then convolves with stride 1: the experiment at the end is about
# it.*

# %% [markdown]
# ## From loops to products
#
# The Python loops compute one small product for every pixel and tap. For one image in the first
# layer of the paper's network, that is $127 \cdot 127 \cdot 9$ iterations, each with the overhead
# of a call. It is better to multiply all numbers at once.
#
# Write each window as one row of a matrix: `kh*kw*big` numbers, in the order in which the weights
# lie in memory. There is a row for each pixel of $y$. This rearrangement is known as *im2col*. With
# the weights as a matrix `(kh*kw*big, small)`, the sum over $p$, $q$ and $c$ becomes the sum in a
# matrix product:
#
# $$ \begin{aligned}
# Y &= X W, \\
# G^W &= X^{\mathsf T} G, \\
# G^X &= \mathrm{fold}(G\, W^{\mathsf T}).
# \end{aligned} $$
#
# $X$ holds the windows; $Y$ and $G$ hold $y$ and $g^y$ with a row for each pixel.
#
# The second and third formulas follow as before. In $Y = XW$, the product of $X_{am}$ and $W_{mk}$
# is added to $Y_{ak}$. So $W_{mk}$ receives $X_{am} G_{ak}$ from every row $a$, which is
# $X^{\mathsf T} G$, and $X_{am}$ receives $G_{ak} W_{mk}$ for every $k$, which is
# $G\,W^{\mathsf T}$.
#
# But $G\,W^{\mathsf T}$ is the gradient of the *windows*. `fold` adds each of its numbers to the
# pixel that it was copied from (*col2im*). This again is an adjoint: copying out windows is a
# linear operation, and `fold` is its adjoint.
#
# ### Windows without a copy
#
# An array is a block of memory and a rule that says where its elements lie: the *strides*, the
# number of bytes to the next image, row, column and channel. (The name is unfortunate: these are
# not the stride of the convolution.) The windows are all in the image already; they overlap. So a
# view with other strides is enough: to go down one window is to go down `stride` rows of the image.
# (`as_strided` checks nothing. With a wrong shape it shows whatever lies in memory behind the
# image, so we keep it inside a small function that computes the shape.)

# %%


def windows(x: Array, kernel_hw: tuple[int, int], stride: int) -> Array:
    """All windows of ``x (n, h, w, c)`` as a view ``(n, oh, ow, kh, kw, c)``, without padding."""
    n, h, v, c = x.shape
    kh, kw = kernel_hw
    sn, sh, sv, sc = x.strides
    shape = (n, output_size(h, kh, stride, 0), output_size(v, kw, stride, 0), kh, kw, c)
    return as_strided(x, shape, (sn, stride * sh, stride * sv, sh, sv, sc), writeable=False)


def fold(products: Array, out_hw: tuple[int, int], stride: int) -> Array:
    """The adjoint of `windows`: ``(n, oh, ow, kh, kw, c)`` added up to ``(n, *out_hw, c)``."""
    n, oh, ow, kh, kw, c = products.shape
    out = np.zeros((n, *out_hw, c))
    for p in range(kh):
        for q in range(kw):
            out[:, p : p + stride * oh : stride, q : q + stride * ow : stride] += products[
                :, :, :, p, q
            ]
    return out


x = rng.standard_normal((2, 9, 11, 3))
view = windows(x, (3, 3), 2)
print("the windows", view.shape, "share memory with the image:", np.shares_memory(view, x))
np.testing.assert_array_equal(view[0, 1, 2], x[0, 2:5, 4:7])

products = rng.standard_normal(view.shape)
np.testing.assert_allclose(np.vdot(view, products), np.vdot(x, fold(products, (9, 11), 2)))

# %% [markdown]
# `fold` still has a loop, but of only $k_h k_w = 9$ iterations. Each adds one tap of *all* windows:
# these lie `stride` apart, so no two of them touch the same pixel, and NumPy can add them all at
# once.
#
# Now the three kernels are three products.

# %%


def conv_products(x: Array, w: Array, stride: int) -> Array:
    view = windows(x, w.shape[:2], stride)
    rows = view.reshape(-1, w[..., 0].size)  # (n*oh*ow, kh*kw*big): here the windows are copied
    return (rows @ w.reshape(-1, w.shape[3])).reshape(*view.shape[:3], -1)


def input_grad_products(gy: Array, w: Array, out_hw: tuple[int, int], stride: int) -> Array:
    products = gy @ w.reshape(-1, w.shape[3]).T  # (n, oh, ow, kh*kw*big)
    return fold(products.reshape(*gy.shape[:3], *w.shape[:3]), out_hw, stride)


def weight_grad_products(x: Array, gy: Array, kernel_hw: tuple[int, int], stride: int) -> Array:
    view = windows(x, kernel_hw, stride)
    rows = view.reshape(-1, view[0, 0, 0].size)
    gw = rows.T @ gy.reshape(-1, gy.shape[3])
    return gw.reshape(*kernel_hw, x.shape[3], gy.shape[3])


y = conv_products(x, w, 2)
gy = rng.standard_normal(y.shape)
np.testing.assert_allclose(y, conv(x, w, 2, 0))
np.testing.assert_allclose(
    input_grad_products(gy, w, (9, 11), 2), conv_input_grad(gy, w, (9, 11), 2, 0)
)
np.testing.assert_allclose(
    weight_grad_products(x, gy, (3, 3), 2), conv_weight_grad(x, gy, (3, 3), 2, 0)
)
print("products and loops agree")

# %% [markdown]
# Padding needs nothing new: surround the image with zeros first, and crop them off again in the
# backward pass. Cropping is the adjoint of padding.

# %% [markdown]
# ## From products to tiles
#
# There is a price. The windows overlap, so copied out they take more memory than the image. With $3
# \times 3$ taps and stride 2 a pixel is copied about $9/4$ times on average <!-- holds 2.2 <
# copied[0] / images[0] < 9 / 4 -->; with stride 1 it would be 9 times. For the paper's batches of
# 32 images:

# %%
MB = 1e6 / 4  # float32 numbers in a megabyte
layers = []
for layer, (big, small) in enumerate(zip((3, *ENCODER_CHANNELS), ENCODER_CHANNELS, strict=False)):
    side, out_side = sides[layer], sides[layer + 1]
    image, image_windows = 32 * side**2 * big, 32 * out_side**2 * 9 * big
    layers.append((image / MB, image_windows / MB, 9 * big * small / MB))
images, copied, weight_sizes = np.array(layers).T
print(f"windows of layer 2: {copied[1]:.0f} MB for {images[1]:.0f} MB of images")

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for offset, sizes, label in (
    (-0.27, images, "images"),
    (0, copied, "their windows"),
    (0.27, weight_sizes, "weights"),
):
    ax.bar(np.arange(1, 8) + offset, sizes, 0.27, label=label)
ax.axhline(1, color="black", linestyle="--", label="a core's own cache, about")
ax.set(xlabel="encoder layer", ylabel="size (MB, log scale)", yscale="log")
fig.legend(ncols=2, loc="outside upper center")

# %% [markdown]
# *Figure 2.4. The arrays of the encoder of the paper's deepest module (Table 1), for a batch of 32
# images of 255 x 255 pixels in float32. A megabyte is $10^6$ bytes.*
#
# Hundreds of megabytes, 293 <!-- = copied[1] --> in layer 2, are written out and read back once.
# Memory is slow: a core multiplies many numbers in the time it takes to fetch one from memory. A
# core has a small memory of its own, the *cache*, of about a megabyte. What has just been written
# there is read back almost for free.
#
# So do not copy all windows and then multiply. Copy the windows of *a few rows* of the output into
# a buffer that fits the cache, multiply, and continue with the next rows in the same buffer. Such a
# piece of the work is a **tile**.

# %%


def conv_tiled(x: Array, w: Array, stride: int, tile_rows: int) -> Array:
    view = windows(x, w.shape[:2], stride)  # (n, oh, ow, kh, kw, big)
    n, oh, ow = view.shape[:3]
    y = np.empty((n, oh, ow, w.shape[3]))
    weights = w.reshape(-1, w.shape[3])
    buffer = np.empty((tile_rows, *view.shape[2:]))
    for b in range(n):
        for start in range(0, oh, tile_rows):
            tile = view[b, start : start + tile_rows]
            rows = buffer[: len(tile)]  # the last tile may have fewer
            np.copyto(rows, tile)
            out = y[b, start : start + tile_rows].reshape(-1, w.shape[3])
            np.matmul(rows.reshape(-1, len(weights)), weights, out=out)
    return y


x = rng.standard_normal((2, 63, 63, 8))
w = rng.standard_normal((3, 3, 8, 16))
y = conv_tiled(x, w, 2, tile_rows=5)
np.testing.assert_allclose(y, library.conv2d(x, w, 2), rtol=0, atol=1e-12)
print(f"all windows: {windows(x, (3, 3), 2).size} numbers, a tile's: {5 * 31 * 9 * 8}")

# %% [markdown]
# No two tiles write to the same rows of $y$. So tiles may be computed in any order, and by several
# threads at once.
#
# ### Tiles of a scatter
#
# For the scatter this is not so. A tile of rows $i_0 \le i < i_1$ of $g^y$ reaches the rows from
# $s i_0$ up to, but not including, $s i_1 + (k_h - s)$ of $g^x$. The next tile begins at $s i_1$.
# So they share $k_h - s$ rows: one row here. If two threads add to the same row at the same time,
# one of the two sums may be lost: each thread reads, adds and writes, and the other may do the same
# in between.
#
# The library keeps those rows apart. Each tile writes the rows that are its own, and puts what
# belongs to the tile below into a small array. When all tiles are done, these are added. Here the
# tiles are computed in random order, as threads might do it, and yet every bit is the same.

# %%


def input_grad_tiled(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, tile_rows: int, order: Array
) -> Array:
    """For images whose windows leave no rest: ``h = stride * (oh - 1) + kh``."""
    (n, _, ow, small), (kh, kw, big, _) = gy.shape, w.shape
    overlap = kh - stride
    gx = np.zeros((n, *out_hw, big))
    beyond = {}
    for start in order:
        g = gy[:, start : start + tile_rows]
        stop = start + g.shape[1]
        products = (g @ w.reshape(-1, small).T).reshape(n, stop - start, ow, kh, kw, big)
        own = stride * (stop - start)
        folded = fold(products, (own + overlap, out_hw[1]), stride)
        gx[:, stride * start : stride * stop] = folded[:, :own]
        beyond[stop] = folded[:, own:]
    for stop in sorted(beyond):
        gx[:, stride * stop : stride * stop + overlap] += beyond[stop]
    return gx


gy = rng.standard_normal(y.shape)
starts = np.arange(0, gy.shape[1], 4)
in_order = input_grad_tiled(gy, w, (63, 63), 2, 4, starts)
shuffled = input_grad_tiled(gy, w, (63, 63), 2, 4, rng.permutation(starts))
np.testing.assert_array_equal(in_order, shuffled)
np.testing.assert_allclose(
    in_order, library.conv2d_input_grad(gy, w, (63, 63), 2), rtol=0, atol=1e-12
)
print("the same bits in any order")

# %% [markdown]
# ### Tiles of the weight gradient
#
# Here every tile adds to the *same* numbers, $G^W = \sum_{\text{tiles}} X^{\mathsf T} G$. Each
# thread could keep a sum of its own. But floating-point sums depend on the order of addition, and
# then the result would depend on the number of threads. So the library divides the tiles into a
# fixed number of groups, whatever the number of threads, sums each group in order, and adds the
# groups' sums in order. It does not matter which thread computed a group.

# %%


def weight_grad_tiled(
    x: Array, gy: Array, kernel_hw: tuple[int, int], stride: int, groups: int
) -> Array:
    totals = [  # each by whichever thread is free
        weight_grad_products(x[part], gy[part], kernel_hw, stride)
        for part in np.array_split(np.arange(len(x)), groups)
    ]
    gw = totals[0]
    for total in totals[1:]:
        gw = gw + total
    return gw


np.testing.assert_allclose(
    weight_grad_tiled(x, gy, (3, 3), 2, groups=2),
    library.conv2d_weight_grad(x, gy, (3, 3), 2),
    rtol=0,
    atol=1e-11,
)

# %% [markdown]
# ### When the weights are the larger part
#
# Look at Figure 2.4 again. In the last layers there are hardly any pixels left, but 9 <!-- =
# weight_sizes[-1] --> megabytes of weights. If the threads split the pixels there, each would read
# all weights for a handful of pixels. So in those layers the library splits the channels instead:
# the windows of many images are gathered once, and each thread multiplies them by *some of the
# columns of the weights*, that is, computes some of the output channels. Each weight is read once.
#
# Chapter 9 measures what all this is worth.

# %% [markdown]
# ## Where it lives
#
# **Now read** some 80 lines: `minispiral.kernels.reference.conv2d`,
# `minispiral.kernels.reference.conv2d_input_grad` and
# `minispiral.kernels.reference.conv2d_weight_grad`, which are this chapter's loops; then
# `minispiral.ops.Conv2d` and `minispiral.ops.ConvTranspose2d`, side by side: which of the three
# does each call, and for what?
#
# - `minispiral.kernels.reference.conv2d`, `minispiral.kernels.reference.conv2d_input_grad`,
#   `minispiral.kernels.reference.conv2d_weight_grad`: the loops
# - `minispiral.kernels.conv2d.conv2d`, `minispiral.kernels.conv2d.conv2d_input_grad`,
#   `minispiral.kernels.conv2d.conv2d_weight_grad`: what everyone calls; formula, shapes and checks
# - `minispiral.kernels.cpu.conv2d.conv2d`: the three products, with
#   `minispiral.kernels.cpu.im2col.windows` and `minispiral.kernels.cpu.col2im.fold`
# - `minispiral.kernels.cpu.conv2d_pixels.conv2d`, `minispiral.kernels.cpu.conv2d_channels.conv2d`:
#   the tiles, with threads that split the pixels or the channels
# - `minispiral.kernels.shapes.output_hw`: the size formula, and the error for what does not fit
# - `minispiral.kernels.cpu.parallel.run`, `minispiral.kernels.cpu.parallel.scratch`: threads, and a
#   thread's own buffer
# - `minispiral.ops.Conv2d`, `minispiral.ops.ConvTranspose2d`: six needs, three kernels
# - `minispiral.nn.Conv2d`, `minispiral.nn.he_normal`: the layer, and its initial weights
#
# The library's kernels go beyond this chapter in two ways: an *epilogue* uses each tile once more
# while it is in cache (chapter 3), and images with very few channels are copied in another order,
# because NumPy is slow with short rows (chapter 9). The library has no dilation, no channel groups
# and one stride for both directions: the paper needs no more.
#
# ## To read on
#
# - V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning*,
#   arXiv:1603.07285, 2016. Every case of size, stride and padding, transposed ones too, with a
#   drawing each.
# - A. Odena, V. Dumoulin and C. Olah, *Deconvolution and Checkerboard Artifacts*, Distill, 2016.
#   The pattern of Figure 2.3 in pictures that networks made, and a layer that does not have it.
# - K. He, X. Zhang, S. Ren and J. Sun, *Delving Deep into Rectifiers*, ICCV 2015. Where the 2 in
#   the variance of the first weights comes from.

# %% [markdown]
# ## Exercises
#
# Write each function into a file, say `answer.py`, and check it with
# `minispiral exercise 2.1 answer.py`. Arrays are float64. Loops are fine.
#
# ### Exercise 2.1 ★★
#
# A convolution may look beyond the border of its image. Instead of zeros, one can put the image's
# own reflection there. In one dimension and with a rim of 2, the row `a b c d` becomes
# `c b a b c d c b`: the outermost pixel is the axis of the reflection and is not repeated. For
# images this is `np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), "reflect")`. It is linear, so
# it has an adjoint.
#
# Write `mirror_pad_grad(gy, pad)`. `gy` has the shape `(n, h + 2*pad, w + 2*pad, c)`, and `pad` is
# at least 1 and less than `h` and `w`. Return the gradient of the image, `(n, h, w, c)`.
#
# ### Exercise 2.2 ★
#
# In a *dilated* convolution the taps of the kernel lie `dilation` pixels apart. So a kernel of
# $3 \times 3$ sees a larger window without more weights. Without padding,
#
# $$ \begin{aligned}
# y_{bijk} &= \sum_{p,q,c} x_{brtc}\; w_{pqck}, \\
# r &= si + dp, \quad t = sj + dq,
# \end{aligned} $$
#
# with the dilation $d$. Write its adjoint, `dilated_input_grad(gy, w, out_hw, stride, dilation)`.
# `gy` is `(n, oh, ow, small)`, `w` is `(kh, kw, big, small)`, and `out_hw` is the pair `(h, w)`.
# Return `gx`, of the shape `(n, h, w, big)`. Pixels that no tap reached have gradient 0.
#
# ### Exercise 2.3 ★★★
#
# With stride 1 the adjoint of a convolution is itself a convolution, of `gy`, with other weights
# and another padding. The library uses this, because gathering is faster than scattering.
#
# Write `turned(w, pad)`. `w` is `(k, k, big, small)` with a square kernel, and `pad` is at least 0
# and less than `k`. Return the pair `(v, new_pad)` of weights and padding for which
#
#     conv2d(gy, v, 1, new_pad)   equals   conv2d_input_grad(gy, w, out_hw, 1, pad)
#
# for every `gy` of the right shape (both functions are in `minispiral.kernels.conv2d`).
#
# ### On paper
#
# **A.** A row of 9 pixels, a kernel of 3 weights, stride 2 and one pixel of padding on either side.
# How many outputs are there? Write down the first and the last row of the matrix $A$. Which pixels
# are reached by two taps?
#
# **B.** Scatter ones along one axis with a kernel of $k$ ones and the stride $s$. By how many taps
# is a pixel reached, far from the edges? Prove that it is the same number for all pixels if $s$
# divides $k$, and that otherwise there are two numbers, which differ by 1. Then let the weights be
# free: for $k = 3$ and $s = 2$, which $w_0, w_1, w_2$ turn a row of equal numbers into a row of
# equal numbers? Take those that are symmetric and leave the numbers as they are. What do they make
# of a row that is not constant?
#
# **C.** Let $A$ be a convolution along one axis, without padding, from $n$ pixels to $o < n$. First
# shrink and then enlarge is $A^{\mathsf T} A$; first enlarge and then shrink is $A A^{\mathsf T}$.
# Can one of them, or both, give back whatever was put in? Write down $A A^{\mathsf T}$ for a kernel
# of 3 weights and stride 2, and find all kernels for which it changes nothing. What if the kernel
# is not longer than the stride?
#
# ### Experiment
#
# Replace the transposed convolution by one that first repeats each pixel twice in both directions
# and then convolves with stride 1 and padding 1 (*resize-convolution*). Draw Figure 2.3 for it.
# What does it cost in multiplications, and which of the sizes of the paper does it give back?
