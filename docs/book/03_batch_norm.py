# %% [markdown]
# # 3. Batch norm by hand
#
# After this chapter you can
#
# - compute batch norm, and say what it does to a network;
# - derive its backward pass term by term, and say what the terms mean;
# - say what changes between training and evaluation, and why;
# - sum a million numbers in float32 without losing the digits that matter;
# - explain why a channel with a single value cannot be trained on, and what two values are worth;
# - read the fused block of convolution, batch norm and ReLU, which recomputes its ReLU mask.
#
# It takes about an hour and a half. You need chapter 1 (the tape), and from chapter 2 the idea that
# a layer works through its image tile by tile.

# %% [markdown]
# ## The idea
#
# A network multiplies its input by weights, layer after layer. If each layer makes its values a
# little too large, ten layers make them far too large. If each makes them a little too small,
# almost nothing arrives. The same happens to the gradients on the way back.
#
# **Batch norm** corrects this after every layer. For each channel it takes all values in the batch,
# subtracts their mean and divides by their *standard deviation*, the root of the *variance*, which
# is the mean square of the distances from the mean. Whatever comes in, the result has mean 0 and
# variance 1 (unless all values are equal: then the result is 0). Two trained parameters for each
# channel then set the spread and the mean that the network wants: $\gamma$ scales and $\beta$
# shifts.
#
# Here is the effect on twelve layers of convolution and ReLU, with initial weights half as large,
# exactly as large and twice as large as they should be (chapter 2 says how large that is).
# **Predict**, before you run it: after twelve layers without batch norm, how much larger are the
# values for weights twice as large?

# %%
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from minispiral import ops
from minispiral.errors import UserError
from minispiral.kernels import batchnorm, reference
from minispiral.nn import BatchNorm, ConvNormReLU, he_normal
from minispiral.tensor import Function, Tensor, no_grad

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
rng = np.random.default_rng(3)
EPS = 1e-5


def spreads(factor: float, norm: bool) -> list[float]:
    """Standard deviation of the values after each of twelve layers."""
    x = Tensor(rng.standard_normal((4, 16, 16, 16)))
    found = []
    for _ in range(12):
        w = Tensor(factor * he_normal((3, 3, 16, 16), 9 * 16, rng, np.float64))
        x = ops.conv2d(x, w, pad=1)
        if norm:
            x = ops.batch_norm(x, Tensor(np.ones(16)), Tensor(np.zeros(16)))
        x = ops.relu(x)
        found.append(float(x.data.std()))
    return found


fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for factor, color in ((2, "tab:red"), (1, "tab:green"), (0.5, "tab:blue")):
    for norm, style in ((False, "o--"), (True, "s-")):
        label = f"{factor}{' and batch norm' if norm else ''}"
        ax.plot(range(1, 13), spreads(factor, norm), style, color=color, ms=4, label=label)
ax.set(xlabel="layer", ylabel="standard deviation of its output", yscale="log")
fig.legend(ncols=3, loc="outside upper center", title="factor of the weights")

# %% [markdown]
# *Figure 3.1. How large the values are after each of twelve layers. Dashed without batch norm,
# solid with it: there the three lines coincide.*

# %% [markdown]
# ## Forward
#
# Take one channel. Let $x_1, \dots, x_m$ be all its values in the batch. For images `(n, h, w, c)`
# there are $m = n h w$ of them in each of $c$ channels, and everything below happens in each
# channel separately.
#
# $$ \mu = \frac{1}{m} \sum_i x_i, \qquad v = \frac{1}{m} \sum_i (x_i - \mu)^2 $$
#
# $$ \begin{aligned}
# \rho &= \frac{1}{\sqrt{v + \epsilon}}, \\
# \hat{x}_i &= \rho\,(x_i - \mu), \\
# y_i &= \gamma \hat{x}_i + \beta
# \end{aligned} $$
#
# The mean $\mu$ and the variance $v$ together are called the *moments*. The small number
# $\epsilon = 10^{-5}$ keeps the root away from 0 in a channel whose values are all equal. In code,
# with the names of the library:

# %%


def moments(x: Array) -> tuple[Array, Array]:
    axes = tuple(range(x.ndim - 1))  # all but the last, the channels
    mean = x.mean(axes)
    return mean, ((x - mean) ** 2).mean(axes)


def normalize(x: Array, gamma: Array, beta: Array) -> Array:
    mean, var = moments(x)
    inv = 1 / np.sqrt(var + EPS)
    xhat = (x - mean) * inv
    return gamma * xhat + beta


x = 5 + 3 * rng.standard_normal((2, 6, 5, 4))
gamma, beta = rng.uniform(0.5, 2, 4), rng.standard_normal(4)
y = normalize(x, gamma, beta)

np.testing.assert_allclose(moments(x), batchnorm.moments(x))
np.testing.assert_allclose(y, batchnorm.normalize(x, *moments(x), gamma, beta, EPS))
print("mean of y minus beta:           ", np.round(y.mean((0, 1, 2)) - beta, 6))
print("standard deviation over gamma:  ", np.round(y.std((0, 1, 2)) / gamma, 6))

# %% [markdown]
# **Scale and shift of the input are removed.** Multiply $x$ by a positive number and add another:
# $y$ stays the same (up to $\epsilon$). So a convolution followed by batch norm needs no bias: it
# would be subtracted at once. The blocks of this library have none.

# %%
np.testing.assert_allclose(normalize(7 * x - 2, gamma, beta), y, rtol=0, atol=1e-5)

# %% [markdown]
# ## Backward, term by term
#
# The gradient $g_i = \partial L / \partial y_i$ arrives. We want the gradients with respect to
# $\gamma$, $\beta$ and each $x_i$.
#
# The first two are short. $\gamma$ and $\beta$ are used in every $y_i$, so the contributions of all
# $y_i$ add up:
#
# $$ g^\beta = \sum_i g_i, \qquad g^\gamma = \sum_i g_i \hat{x}_i. $$
#
# The third is the notorious one. Each $x_i$ affects the loss in three ways: through its own
# $\hat{x}_i$, through the mean and through the variance, both of which move *all* $\hat{x}_j$.
# Write the forward pass as a chain of small steps, with $d_i = x_i - \mu$, and go back through them
# one by one:
#
# | step | forward |
# |---|---|
# | 1 | $\mu = \frac{1}{m} \sum_i x_i$ |
# | 2 | $d_i = x_i - \mu$ |
# | 3 | $v = \frac{1}{m} \sum_i d_i^2$ |
# | 4 | $\rho = (v + \epsilon)^{-1/2}$ |
# | 5 | $\hat{x}_i = \rho\, d_i$ |
# | 6 | $y_i = \gamma \hat{x}_i + \beta$ |
#
# Write $g^u$ for the gradient of the loss with respect to a quantity $u$.
#
# **Step 6.** $\hat{x}_i$ occurs only in $y_i$, with the factor $\gamma$:
#
# $$ g^{\hat{x}}_i = \gamma\, g_i. $$
#
# **Step 5.** A product. $\rho$ occurs in every $\hat{x}_i$; $d_i$ occurs in one of them. It occurs
# in step 3, too, so what follows the arrow is only the first part of its gradient:
#
# $$ g^\rho = \sum_i g^{\hat{x}}_i d_i, \qquad g^d_i \leftarrow \rho\, g^{\hat{x}}_i. $$
#
# **Step 4.** The derivative of $(v + \epsilon)^{-1/2}$ is $-\frac12 (v + \epsilon)^{-3/2} =
# -\frac12 \rho^3$:
#
# $$ g^v = -\tfrac12 \rho^3\, g^\rho. $$
#
# **Step 3.** The derivative of $v$ with respect to $d_i$ is $2 d_i / m$. This gives the second part
# of $g^d_i$, and the two add up:
#
# $$ g^d_i = \rho\, g^{\hat{x}}_i + \frac{2 d_i}{m}\, g^v. $$
#
# **Step 2.** $x_i$ gets $g^d_i$. The mean occurs in every $d_i$ with the factor $-1$:
#
# $$ g^\mu = -\sum_i g^d_i. $$
#
# **Step 1.** Each $x_i$ contributes $1/m$ of itself to the mean:
#
# $$ g^x_i = g^d_i + \frac{1}{m}\, g^\mu. $$
#
# The six steps, in code and in this order:

# %%


def normalize_grad_steps(x: Array, gy: Array, gamma: Array) -> Array:
    axes = tuple(range(x.ndim - 1))
    m = x[..., 0].size
    mean, var = moments(x)
    d, inv = x - mean, 1 / np.sqrt(var + EPS)  # inv is rho

    gxhat = gamma * gy  # step 6
    ginv = (gxhat * d).sum(axes)  # step 5
    gvar = -0.5 * inv**3 * ginv  # step 4
    gd = inv * gxhat + 2 * d / m * gvar  # steps 5 and 3
    gmean = -gd.sum(axes)  # step 2
    return gd + gmean / m  # steps 2 and 1


gy = rng.standard_normal(x.shape)
gx = normalize_grad_steps(x, gy, gamma)
wanted = reference.normalize_grad(x, gy, *moments(x), gamma, EPS)
np.testing.assert_allclose(gx, wanted[0], rtol=0, atol=1e-13)

# %% [markdown]
# The tape of chapter 1 does the same by itself. It only lacks a function for step 4, so we add one:

# %%


class InverseRoot(Function):
    def forward(self, v: Array) -> Array:
        self.rho = 1 / np.sqrt(v + EPS)
        return self.rho

    def backward(self, gy: Array) -> Array:
        return -0.5 * self.rho**3 * gy


leaf = Tensor(x, requires_grad=True)
d = leaf - ops.mean(leaf, axis=(0, 1, 2))
inv = InverseRoot()(ops.mean(d * d, axis=(0, 1, 2)))
result = Tensor(gamma) * (d * inv) + Tensor(beta)
result.backward(gy)
assert leaf.grad is not None
np.testing.assert_allclose(result.data, y)
np.testing.assert_allclose(leaf.grad, gx, rtol=0, atol=1e-13)
print("the tape agrees")

# %% [markdown]
# ### The short form
#
# Substitute the steps into each other. From steps 5, 4 and 3, with $\rho\, d_i = \hat{x}_i$ used
# twice,
#
# $$ \begin{aligned}
# \frac{2 d_i}{m}\, g^v &= -\frac{d_i}{m}\, \rho^3 \sum_j \gamma g_j d_j \\
# &= -\gamma \rho\; \hat{x}_i\; \frac{1}{m} \sum_j g_j \hat{x}_j
#  = -\gamma \rho\; \hat{x}_i\, \frac{g^\gamma}{m}.
# \end{aligned} $$
#
# For step 2 we need the sum of all $g^d_i$. The $\hat{x}_i$ sum to 0, since the mean is subtracted,
# so the second part drops out and $g^\mu = -\gamma\rho \sum_i g_i = -\gamma\rho\, g^\beta$.
# Together:
#
# $$ \boxed{\; g^x_i = \gamma \rho \left( g_i - \frac{g^\beta}{m}
#    - \hat{x}_i\, \frac{g^\gamma}{m} \right) \;} $$
#
# The two gradients that we need anyway are all it takes.

# %%


def normalize_grad(x: Array, gy: Array, gamma: Array) -> tuple[Array, Array, Array]:
    axes = tuple(range(x.ndim - 1))
    m = x[..., 0].size
    mean, var = moments(x)
    inv = 1 / np.sqrt(var + EPS)
    xhat = (x - mean) * inv
    gbeta = gy.sum(axes)
    ggamma = (gy * xhat).sum(axes)
    gx = gamma * inv * (gy - gbeta / m - xhat * ggamma / m)
    return gx, ggamma, gbeta


fast = batchnorm.normalize_grad(x, gy, *moments(x), gamma, EPS)
for name, mine, theirs in zip(
    ("gx", "ggamma", "gbeta"), normalize_grad(x, gy, gamma), fast, strict=True
):
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    print(f"{name:6} agrees with the library")

# %% [markdown]
# ### What the terms mean
#
# Plot each $g_i$ against its $\hat{x}_i$ and fit a straight line to the points by *least squares*:
# so that the squares of the vertical distances have the smallest sum. Where the sum is smallest,
# its derivatives by the height and the slope of the line are 0. The $\hat{x}_i$ have mean 0 and
# mean square 1 (up to $\epsilon$). So the height of this line in the middle is the mean of the
# $g_i$, which is $g^\beta / m$. Its slope is the mean of the $g_i \hat{x}_i$, which is $g^\gamma /
# m$. The parenthesis in the box is what the line does not explain: the *residual* of each point.
#
# It must be so. Moving all $x_i$ up together changes nothing, because the mean is subtracted.
# Stretching them all changes nothing, because they are divided by their standard deviation. A
# gradient must not point in a direction in which nothing changes. So the components of $g$ in these
# directions are removed: the constant part, and the part along $\hat{x}$.

# %%
points = rng.standard_normal((14, 1))
g = 0.4 + 0.8 * points + 0.5 * rng.standard_normal((14, 1))
_, slope, height = normalize_grad(points, g, np.ones(1))
xhat = normalize(points, np.ones(1), np.zeros(1))
line = (height + slope * xhat) / 14
fitted = np.polynomial.Polynomial.fit(xhat.ravel(), g.ravel(), 1).convert().coef
np.testing.assert_allclose([height[0] / 14, slope[0] / 14], fitted, rtol=1e-4)

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
ax.vlines(xhat, line, g, color="tab:red", label="what is left: $g^x / (\\gamma\\rho)$")
ax.plot(xhat, g, "o", color="tab:blue", label="$g_i$")
ends = np.array([-2.2, 2.2])
ax.plot(ends, (height + slope * ends) / 14, "k", label=r"$(g^\beta + g^\gamma \hat{x}) / m$")
ax.set(xlabel=r"$\hat{x}_i$ (no unit)", ylabel="gradient (loss / unit of y)")
ax.legend()


# %% [markdown]
# *Figure 3.2. One channel with 14 values. Batch norm returns the part of the arriving gradients
# that a straight line does not explain.*
#
# Two sums over the result therefore vanish, the second one up to a trace of $\epsilon$. (Because
# the first one vanishes, a bias before a batch norm would have gradient 0.)

# %%
gx, _, _ = normalize_grad(x, gy, gamma)
xhat = (x - moments(x)[0]) / np.sqrt(moments(x)[1] + EPS)
print(f"sum of gx:        {np.abs(gx.sum((0, 1, 2))).max():.0e}")
print(f"sum of gx * xhat: {np.abs((gx * xhat).sum((0, 1, 2))).max():.0e}")

# %% [markdown]
# ## Why a single value cannot be trained on
#
# The deepest layer of the paper's network has an image of a single pixel. With one image in the
# batch each channel there has $m = 1$ value. Then $\mu = x_1$ and $\hat{x}_1 = 0$: whatever comes
# in, $\beta$ goes out. In the backward pass $g^\gamma = g_1 \hat{x}_1 = 0$ and
# $g^x_1 = \gamma\rho\,(g_1 - g_1/1 - 0) = 0$. Only $\beta$ learns. All earlier layers would stop
# learning, without any sign of an error. The library refuses instead:

# %%
try:
    BatchNorm(4)(Tensor(np.ones((1, 1, 1, 4), np.float32)))
except UserError as error:
    print("refused:", error)
else:
    raise AssertionError("a single value was accepted")

# %% [markdown]
# With $m = 2$ it is hardly better. Two values minus their mean are $+a$ and $-a$. Divided by their
# standard deviation they are $+1$ and $-1$: only the sign of their difference survives. And a
# straight line goes through *any* two points, so no residual is left, up to $\epsilon$. If the
# gradients are independent of $x$ and of each other, the line takes up 2 of $m$ dimensions (a list
# of $m$ numbers is a point in $m$ dimensions; what is constant, and what is a multiple of $\hat x$,
# are two directions): the fraction of their squared length that passes is $(m - 2)/m$ on average.

# %%
sizes = np.array([1, 2, 3, 4, 6, 8, 12, 16, 32, 64])
shares = []
for m in sizes:
    values, arriving = rng.standard_normal((2, m, 1, 400))  # 400 channels
    through, _, _ = normalize_grad(values, arriving, np.ones(400))
    unhindered = arriving / np.sqrt(moments(values)[1] + EPS)
    per_channel = (through**2).sum((0, 1)) / (unhindered**2).sum((0, 1))
    shares.append(per_channel.mean())
print({int(m): round(float(share), 2) for m, share in zip(sizes, shares, strict=True)})

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
smooth = np.linspace(2, 64, 200)
ax.plot(smooth, (smooth - 2) / smooth, "k", label="$(m - 2) / m$")
ax.plot(sizes, shares, "o", color="tab:red", label="400 random channels")
ax.set(xlabel="values per channel, $m$", ylabel="share that comes through", xscale="log")
ax.set_xticks(sizes[[0, 1, 2, 3, 5, 7, 8, 9]], sizes[[0, 1, 2, 3, 5, 7, 8, 9]])
ax.minorticks_off()
ax.legend()

# %% [markdown]
# *Figure 3.3. The fraction of a random gradient's squared length that batch norm lets through. With
# one value or two it is nothing <!-- holds max(shares[:2]) < 0.01 -->.*
#
# So a batch of 2 at a single pixel is accepted, because it is well defined. But it teaches the
# earlier layers nothing. Use larger batches, larger patches or a shallower network. The paper has
# 32 images in a batch.

# %% [markdown]
# ## Running statistics
#
# In training, what the network says about one photograph depends on the others in the batch. There,
# that is harmless noise. When we look for cracks it is not: the answer for a photograph must not
# depend on its neighbours, and a batch may be a single photograph. So in training batch norm also
# keeps *running* moments, and in evaluation it uses these as constants:
#
# $$ \begin{aligned}
# \bar\mu &\leftarrow (1 - \alpha)\,\bar\mu + \alpha\,\mu, \\
# \bar v &\leftarrow (1 - \alpha)\,\bar v + \alpha\,\frac{m}{m - 1}\, v, \quad \alpha = 0.1.
# \end{aligned} $$
#
# The constant $\alpha$ is called `momentum`. Each step forgets a tenth of the past, so a batch $t$
# steps ago counts $0.1 \cdot 0.9^t$. Of all that counts, the last ten batches make up 65 % <!-- =
# 100 * (1 - 0.9**10) --> and the last twenty 88 % <!-- = 100 * (1 - 0.9**20) -->; a batch counts
# for 10 <!-- = sum(0.9**t for t in range(1000)) --> steps, so to speak. The running moments start
# at 0 and 1, and after five steps these still count 59 % <!-- = 100 * 0.9**5 -->: a network trained
# for only five steps is evaluated with nonsense.
#
# **Why $m/(m-1)$?** The variance of a batch is measured from the batch's own mean, which lies
# closer to the values than the true mean does. So it is too small: by the square of the distance
# between the two means, which for $m$ independent values is $1/m$ of the true variance on average.
# What is left is $(m-1)/m$ of it. In training this does not matter, because $\hat{x}$ should have
# variance 1 in this very batch. As an estimate for all photographs it does. (With $m = 1$ the
# factor would be $1/0$: one value says nothing about a variance.)

# %%
batches = rng.normal(0, 2, (50_000, 4))  # many batches of m = 4 values, variance 4
biased = batches.var(axis=1).mean()
print(f"biased {biased:.2f}   times m / (m - 1): {biased * 4 / 3:.2f}   true: 4")

# %% [markdown]
# Here is the library's layer next to three lines of our own, over 60 steps of a channel with mean 3
# and variance 4, in batches of 8 images of one pixel:

# %%
layer = BatchNorm(1)
running_mean, running_var = 0.0, 1.0
history = []
for _ in range(60):
    batch = rng.normal(3, 2, (8, 1, 1, 1)).astype(np.float32)
    layer(Tensor(batch))
    running_mean = 0.9 * running_mean + 0.1 * batch.mean()
    running_var = 0.9 * running_var + 0.1 * batch.var(ddof=1)  # ddof=1 divides by m - 1
    history.append((batch.mean(), running_mean, batch.var(ddof=1), running_var))
np.testing.assert_allclose(layer.running_mean, running_mean, rtol=1e-5)
np.testing.assert_allclose(layer.running_var, running_var, rtol=1e-5)

fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
steps = range(1, 61)
for ax, columns, truth, name in ((axes[0], (0, 1), 3, "mean"), (axes[1], (2, 3), 4, "variance")):
    of_batch, running = np.array(history)[:, columns].T
    ax.plot(steps, of_batch, ".", color="tab:gray", label="of the batch")
    ax.plot(steps, running, color="tab:blue", label="running")
    ax.axhline(truth, color="k", linestyle="--", label="true")
    ax.set(xlabel="step", ylabel=name)
fig.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside upper center")

# %% [markdown]
# *Figure 3.4. The running moments forget where they started and smooth out the moments of the
# batches.*
#
# ### In evaluation it is a scale and a shift
#
# With constant moments, $y = \gamma\rho\,(x - \bar\mu) + \beta$ is a straight line in $x$:
#
# $$ y = a x + b, \qquad a = \gamma\rho, \qquad b = \beta - \gamma\rho\,\bar\mu. $$
#
# That is two numbers for each channel. The library multiplies each tile of the convolution's output
# by $a$ and adds $b$ while the tile is still in cache. (What is done to a tile before it leaves the
# cache is called an *epilogue*; this one is `ScaleShiftReLU`.) One can even fold $a$ into the
# convolution's weights: exercise 3.1. In the backward pass the moments are constants, so their
# terms vanish: $g^x_i = \gamma\rho\,g_i$.

# %%
layer.eval()
values = rng.normal(3, 2, (1, 5, 5, 1)).astype(np.float32)
before = layer.running_mean.copy()
with no_grad():
    whole = layer(Tensor(values)).data
    part = layer(Tensor(values[:, 2:3, 2:3])).data  # one pixel alone: the same answer
np.testing.assert_array_equal(whole[:, 2:3, 2:3], part)
np.testing.assert_array_equal(layer.running_mean, before)

a, b = batchnorm.scale_shift(
    np.float32, layer.running_mean, layer.running_var, layer.gamma.data, layer.beta.data, EPS
)
np.testing.assert_allclose(whole, a * values + b, rtol=0, atol=1e-6)
print(f"a = {a[0]:.4f}, b = {b[0]:.4f}")

# %% [markdown]
# ## The precision of the sums
#
# A channel of the first layer has $32 \cdot 127 \cdot 127 = 516\,128$ <!-- = 32 * 127 * 127 -->
# values in a batch of the paper. Training computes in float32, which keeps about seven decimal
# digits: a number $x$ is stored with an error of up to $6 \cdot 10^{-8}\,|x|$ <!-- holds 5.9e-8 <
# np.finfo(np.float32).eps / 2 < 6e-8 -->. Sums of half a million numbers need some care. There are
# two dangers.
#
# **Cancellation.** The variance can be computed in one pass, $v = \frac1m \sum x_i^2 - \mu^2$. If
# the mean is 1000 and the standard deviation is 1, then both terms are about a million, are known
# to seven digits, and differ by 1. The float32 numbers near a million are 1/16 apart <!-- holds
# np.spacing(np.float32(1e6)) == 1 / 16 -->, so the difference is a multiple of 1/16: at best its
# first digit is right.
#
# **Drift.** Add a small number to a large sum and its last digits are cut off. If all the numbers
# are equal, they are rounded in the same direction again and again. The flat background of a
# photograph is just such a case.

# %%
m = 516_128
spread = rng.standard_normal((m, 1))
channel = (1000 + spread).astype(np.float32)
mean = channel.mean(dtype=np.float32)
one_pass = (channel**2).mean(dtype=np.float32) - mean**2
print(f"one pass: {one_pass:.4f}   true: {channel.var(dtype=np.float64):.4f}")
assert one_pass * 16 % 1 == 0

flat = np.full((m, 2), 0.1, np.float32)
print(f"{m} x 0.1, row by row in float32: {flat.sum(0)[0]:.1f}   true: {m * 0.1:.1f}")

# %% [markdown]
# (With two channels NumPy adds row by row. For a single one it sums in blocks, which is better.)
#
# **Tiles** cure both. A tile is small enough to stay in cache, and its sums are taken in small
# blocks. From there on, all sums are in float64, which has sixteen digits. The variance is taken
# about the mean *of the tile*, so that nothing large cancels. That needs two passes, but the second
# one finds the tile in cache.
#
# Then the tiles are merged. Let tile $t$ have $m_t$ values, the mean $\mu_t$ and the sum of squares
# $S_t = \sum (x_i - \mu_t)^2$. The mean of all is $\mu = \sum_t m_t \mu_t / m$. For the squares,
# write $x_i - \mu$ as $(x_i - \mu_t) + (\mu_t - \mu)$ and expand. The mixed term is a multiple of
# $\sum (x_i - \mu_t)$, which is 0. So
#
# $$ \sum_i (x_i - \mu)^2 = \sum_t \left( S_t + m_t\, (\mu_t - \mu)^2 \right). $$

# %%


def tiles(rows: Array, size: int = 4096) -> Iterator[Array]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def moments_of_tiles(rows: Array) -> tuple[Array, Array]:
    counts, means, squares = [], [], []
    for tile in tiles(rows):
        mean = tile.mean(0, dtype=np.float64)
        centred = tile - mean.astype(tile.dtype)  # still float32, but now small numbers
        shift = centred.mean(0, dtype=np.float64)  # what rounding left of the mean
        counts.append(len(tile))
        means.append(mean.astype(tile.dtype) + shift)
        squares.append((centred**2).sum(0, dtype=np.float64) - len(tile) * shift**2)
    m = sum(counts)
    mean = np.array(counts) @ np.array(means) / m
    total = np.sum(squares, 0) + np.array(counts) @ (np.array(means) - mean) ** 2
    return mean, total / m


offsets = 10.0 ** np.arange(6)
errors: dict[str, list[float]] = {"one pass": [], "two passes, row by row": [], "tiles": []}
errors["the library"] = []
for offset in offsets:
    rows = (offset + np.repeat(spread, 2, axis=1)).astype(np.float32)
    truth = rows.var(0, dtype=np.float64)[0]
    row_mean = rows.sum(0) / np.float32(m)
    found = (
        (rows**2).sum(0) / np.float32(m) - row_mean**2,
        ((rows - row_mean) ** 2).sum(0) / np.float32(m),
        moments_of_tiles(rows)[1],
        batchnorm.moments(rows)[1],
    )
    for name, var in zip(errors, found, strict=True):
        errors[name].append(abs(float(var[0]) - truth) / truth)
for name, values_of in errors.items():
    print(f"{name:23}", " ".join(f"{value:.0e}" for value in values_of))
assert max(errors["tiles"]) < 1e-6
assert max(errors["the library"]) < 1e-4
assert errors["one pass"][3] > 0.01

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for (name, values_of), marker in zip(errors.items(), "os^v", strict=True):
    ax.plot(offsets, np.maximum(values_of, 1e-10), marker + "-", label=name)
ax.axhline(6e-8, color="k", linestyle=":", label="float32's own rounding")
ax.set(
    xlabel="mean / standard deviation",
    ylabel="relative error of the variance",
    xscale="log",
    yscale="log",
)
fig.legend(ncols=2, loc="outside upper center")

# %% [markdown]
# *Figure 3.5. Four ways to compute the variance of 516,128 <!-- = m --> values in float32. Errors
# below 1e-10 are drawn at 1e-10.*
#
# The tiles have a second use. The convolution of chapter 2 produces its output tile by tile, and
# with the epilogue `Moments` it takes each tile's sums while the tile is still in cache. When the
# convolution is done, so are the moments, and the image need not be read again.

# %% [markdown]
# ## The fused block
#
# The paper's building block is convolution, batch norm, ReLU. As three functions on a tape, each
# keeps what its backward pass needs: the convolution its input, batch norm its input, ReLU its
# input. Each also makes a pass over the image in memory. For batch norm and ReLU, that pass is what
# takes the time, so the library fuses them.
#
# ### Keep less: the mask can be recomputed
#
# ReLU is $z = \max(y, 0)$. In the backward pass the gradient passes where $y > 0$ and is 0
# elsewhere, which takes a *mask*, one bit for each value. It need not be kept. From batch norm's
# input $x$, which we have anyway, and with $a = \gamma\rho$ and $b = \beta - a\mu$,
#
# $$ y_i > 0 \iff a\,x_i > -b. $$
#
# ### A backward pass in two passes over memory
#
# The box needs $g^\beta$ and $g^\gamma$ before the first $g^x_i$ can be written. So there must be
# two passes over the image, and two are enough. The first computes the mask and two sums. It does
# not even need $\hat{x}$, because
#
# $$ g^\gamma = \sum_i g_i\,\rho\,(x_i - \mu)
#    = \rho \left( \sum_i g_i x_i - \mu\, g^\beta \right). $$
#
# (The sums are in float64, so the difference is harmless.) The second pass writes the result.
# Collect the terms of the box by what varies from pixel to pixel:
#
# $$ \begin{aligned}
# g^x_i &= a\, g_i + e\, x_i + f, \\
# e &= -\frac{a \rho\, g^\gamma}{m}, \quad f = -\frac{a\, g^\beta}{m} - e\,\mu,
# \end{aligned} $$
#
# with three numbers for each channel.

# %%


class NormReLU(Function):
    """Batch norm and ReLU as one node. It keeps ``x`` and vectors of one number per channel."""

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        mean, var = moments(x)
        inv = 1 / np.sqrt(var + EPS)
        a = gamma * inv
        self.x, self.mean, self.inv, self.a, self.b = x, mean, inv, a, beta - a * mean
        return np.maximum(a * x + self.b, 0)

    def backward(self, gy: Array) -> tuple[Array, Array, Array]:
        x, a, m = self.x, self.a, self.x[..., 0].size
        g = gy * (a * x > -self.b)  # the recomputed mask
        gbeta = g.sum((0, 1, 2))
        ggamma = self.inv * ((g * x).sum((0, 1, 2)) - self.mean * gbeta)
        e = -a * self.inv * ggamma / m
        f = -a * gbeta / m - e * self.mean
        return a * g + e * x + f, ggamma, gbeta


leaves = [Tensor(array, requires_grad=True) for array in (x, gamma, beta)]
result = NormReLU()(*leaves)
result.backward(gy)
mine = [leaf.grad for leaf in leaves]

leaves = [Tensor(array, requires_grad=True) for array in (x, gamma, beta)]
composed = ops.relu(ops.batch_norm(*leaves))
composed.backward(gy)
np.testing.assert_allclose(result.data, composed.data, rtol=0, atol=1e-12)
fused = batchnorm.normalize_relu_grad(x, gy, *moments(x), gamma, beta, EPS)
for ours, leaf, theirs in zip(mine, leaves, fused, strict=True):
    assert ours is not None
    np.testing.assert_allclose(ours, leaf.grad, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
print("our node, the library's two nodes and its one kernel agree")

# %% [markdown]
# ### The complete block
#
# The library's `ConvNormReLU` adds the convolution. Between forward and backward it keeps the
# convolution's output and a few vectors. For the weight gradient it also needs its own input. But
# that is the output of the block before, which can recompute it in one cheap pass from what *it*
# keeps. Let us count the images that are kept for the backward pass in a chain of six blocks:

# %%


def kept(function: Function, found: dict[int, Array]) -> None:
    """Collect all images that a function and those before it on the tape hold on to."""
    for value in vars(function).values():
        if isinstance(value, np.ndarray) and value.ndim == 4 and len(value) == 2:
            found[id(value)] = value  # an image: the batch has two
        elif isinstance(value, Function):
            kept(value, found)
    for tensor in vars(function).get("inputs", ()):
        if tensor.creator is not None:
            kept(tensor.creator, found)


image = rng.standard_normal((2, 16, 16, 8)).astype(np.float32)
blocks = [ConvNormReLU(8, 8, rng, stride=1, pad=1) for _ in range(6)]
outputs, gradients = [], []
for whether in (False, True):
    signal = Tensor(image)
    for block in blocks:
        block.fused = whether
        signal = block(signal)
    images: dict[int, Array] = {}
    assert signal.creator is not None
    kept(signal.creator, images)
    kind = "fused" if whether else "three nodes"
    print(f"{kind:12} keeps {len(images)} images for {len(blocks)} blocks")
    outputs.append(signal.data)
    ops.sum(signal * signal).backward()
    gradients.append([p.grad for block in blocks for p in block.parameters()])
    for block in blocks:
        for p in block.parameters():
            p.grad = None

np.testing.assert_allclose(outputs[0], outputs[1], rtol=0, atol=1e-4)
for three, one in zip(*gradients, strict=True):
    assert three is not None
    np.testing.assert_allclose(three, one, rtol=0, atol=1e-3 * np.abs(three).max() + 1e-4)
print("and the gradients agree to float32's rounding")

# %% [markdown]
# Three images a block are kept as three nodes, and one a block fused <!-- holds len(images) ==
# len(blocks) -->. Both forms exist on purpose. The three nodes are what one reads and checks; the
# fused node is what runs; a test makes sure that they agree in float64.

# %% [markdown]
# ## Where it lives
#
# **Now read** some 110 lines: `minispiral.kernels.reference.normalize_grad`, the formula;
# `minispiral.kernels.cpu.batchnorm.tile_moments` and
# `minispiral.kernels.cpu.batchnorm.merge_moments`, the sums; and `minispiral.nn.BatchNorm`, which
# keeps what evaluation needs.
#
# - `minispiral.kernels.reference.moments`, `minispiral.kernels.reference.normalize`,
#   `minispiral.kernels.reference.normalize_grad`: the formulas of this chapter in loops
# - `minispiral.kernels.batchnorm.moments`, and behind it
#   `minispiral.kernels.cpu.batchnorm.tile_moments` and
#   `minispiral.kernels.cpu.batchnorm.merge_moments`: sums by tiles, and how they are merged
# - `minispiral.kernels.batchnorm.normalize`, `minispiral.kernels.batchnorm.normalize_grad`: one
#   pass forward, two passes backward
# - `minispiral.kernels.batchnorm.normalize_relu`,
#   `minispiral.kernels.batchnorm.normalize_relu_grad`: the same with ReLU and its recomputed mask
# - `minispiral.kernels.batchnorm.scale_shift`: constant moments as a scale and a shift
# - `minispiral.ops.BatchNorm`, `minispiral.fused.ConvNormReLU`: the nodes on the tape
# - `minispiral.nn.BatchNorm`, `minispiral.nn.ConvNormReLU`: the layers; the first keeps the running
#   moments and refuses a single value
#
# ## To read on
#
# - S. Ioffe and C. Szegedy, *Batch Normalization: Accelerating Deep Network Training by Reducing
#   Internal Covariate Shift*, ICML 2015. Where batch norm comes from, running moments included.
# - S. Santurkar, D. Tsipras, A. Ilyas and A. Madry, *How Does Batch Normalization Help
#   Optimization?*, NeurIPS 2018. That it is not the shift of the title above; why it helps so much
#   is still debated, and Figure 3.1 shows one undisputed part of the answer.
# - T. F. Chan, G. H. Golub and R. J. LeVeque, *Algorithms for Computing the Sample Variance*, The
#   American Statistician 37, 1983. One pass, two passes and merged tiles, with bounds of their
#   errors.

# %% [markdown]
# ## Exercises
#
# Write each function into a file, say `answer.py`, and check it with
# `minispiral exercise 3.1 answer.py`. Arrays are float64.
#
# ### Exercise 3.1 ★
#
# In evaluation a convolution followed by batch norm is a convolution with other weights and a bias.
# Write `folded(w, gamma, beta, mean, var, eps, transpose)`, which returns the pair `(v, bias)`. `w`
# is `(kh, kw, big, small)`. The vectors `gamma`, `beta`, `mean` and `var` have one number for each
# *output* channel. With `transpose = False`,
#
#     conv2d(x, v) + bias   equals   normalize(conv2d(x, w), mean, var, gamma, beta, eps)
#
# for every `x`. (`conv2d` and `normalize` are those of `minispiral.kernels`.) With
# `transpose = True` the same holds for a transposed convolution, whose output channels are `big`.
# `v` has the shape of `w`, and `bias` has one number for each output channel. Leave `w` itself
# unchanged.
#
# ### Exercise 3.2 ★★★
#
# A photograph is too large for memory and comes in tiles. Write `moments(tiles)`. `tiles` is a
# generator: it yields arrays of shape `(rows, c)`, one after the other. The number of rows may
# differ, and is at least one. Each array is valid only until the next one is requested, since its
# memory is then reused. Return the pair `(mean, var)` of all rows, each `(c,)`, with the biased
# variance.
#
# The mean may be a hundred million times as large as the standard deviation. Even so, the mean must
# be right to a millionth of the standard deviation and the variance to a millionth of itself. (So
# float64 alone does not save you from cancellation.)
#
# ### Exercise 3.3 ★★
#
# *Layer norm* takes its moments over the channels of one pixel instead of the pixels of one
# channel. For `x (n, h, w, c)`, with the mean $\mu$ and the biased variance $v$ of the $c$ numbers
# of each pixel,
#
# $$ y = \frac{x - \mu}{\sqrt{v + \epsilon}}. $$
#
# There is no $\gamma$ and no $\beta$ here. Write `layer_norm_grad(x, gy, eps)`, which returns `gx`
# of the shape of `x`.
#
# ### On paper
#
# **A.** Show from the box, with $\epsilon = 0$, that $\sum_i g^x_i = 0$ and
# $\sum_i \hat x_i g^x_i = 0$.
#
# **B.** The weights $w$ of a convolution are followed by batch norm, with $\epsilon = 0$. Show that
# $cw$ gives the same loss as $w$, for every $c > 0$. What follows for the inner product
# $\langle w, g^w \rangle$, and how large is the gradient at $cw$ compared with that at $w$?
# Gradient descent now makes one step, from $w$ to $w - \alpha g^w$. Can the sum of the squares of
# the weights become smaller? What does that do, over many steps, to the angle by which a step turns
# $w$?
#
# **C.** Let $\epsilon = 0$. Show that no $\hat{x}_i$ in a channel of $m$ values is larger than
# $\sqrt{m - 1}$. When is it as large as that? Check the result against what the chapter says of
# $m = 2$, and evaluate it for $m = 32$. Now let $\epsilon = 10^{-5}$ again. A channel of the first
# layer, with its $m = 516\,128$ values, is flat except for one pixel, which lies higher by
# $\delta$. How large is its $\hat{x}$ for $\delta = 0.01$, for 1 and for 100, and from about which
# $\delta$ on does $\epsilon$ not matter?
#
# ### Experiment
#
# How far may the momentum go down? Repeat Figure 3.4 with 0.5, 0.1 and 0.01, over 60 steps and over
# 600, and measure how far the running variance is from 4. Then let the true mean drift from 3 to 6
# over the run. Which momentum would you choose?
