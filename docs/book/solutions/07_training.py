# %% [markdown]
# # Solutions to chapter 7

# %%
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 7.1
#
# In a photograph of height `h` a window has `h - side + 1` vertical positions: `rng.integers(n)`
# draws from 0 to `n - 1`, so the last one is included. The mask is cut and flipped like the
# photograph.

# %%


def patch(photo: Array, mask: Array, side: int, rng: np.random.Generator) -> tuple[Array, Array]:
    h, w = mask.shape
    top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
    down, right = rng.choice((-1, 1), size=2)
    x = photo[top : top + side, left : left + side][::down, ::right]
    y = mask[top : top + side, left : left + side][::down, ::right]
    return x.astype(np.float32) / 127.5 - 1, y


# %% [markdown]
# ## Exercise 7.2
#
# The variance that normalises a batch is divided by $m$. What normalises a photograph should be an
# estimate of the variance of all values, which is divided by $m - 1$: `ddof=1`.

# %%


def running(batches: Sequence[Array], momentum: float) -> tuple[Array, Array]:
    channels = batches[0].shape[1]
    mean, var = np.zeros(channels), np.ones(channels)
    for x in batches:
        mean = (1 - momentum) * mean + momentum * x.mean(axis=0)
        var = (1 - momentum) * var + momentum * x.var(axis=0, ddof=1)
    return mean, var


# %% [markdown]
# ## Exercise 7.3
#
# Lower the threshold through all distinct scores. At each of them all pixels with that score enter
# together, so the order of equal scores does not matter.

# %%


def average_precision(scores: Array, labels: Array) -> float:
    total = 0.0
    recall_before = 0.0
    for threshold in np.unique(scores)[::-1]:
        detected = scores >= threshold
        correct = np.count_nonzero(detected & labels)
        precision = correct / np.count_nonzero(detected)
        recall = correct / np.count_nonzero(labels)
        total += (recall - recall_before) * precision
        recall_before = recall
    return total


# %% [markdown]
# ## On paper
#
# **A.** First step: $m = 0.1 g$ and $m / (1 - 0.9) = g$; likewise $v$ gives $g^2$. The move is
# $-\alpha$ times the sign of $g$. Second step: $m = 0.9 \cdot 0.1 g - 0.1 g = -0.01 g$, over
# $1 - 0.81$ that is $-0.0526 g$, and $v$ gives $g^2$ again: the move is $0.0526\,\alpha$ back.
# Plain gradient descent goes back all the way. Adam has not forgotten the first gradient.

# %%
m = 0.9 * 0.1 - 0.1
print(f"second move: {-m / (1 - 0.9**2):.4f} alpha")

# %% [markdown]
# **B.** After so many steps the divisors $1 - \beta^t$ are 1. The gradient makes $m = 0.1\, g$ and
# $v = 0.001\, g^2$, so the first move is $0.1 / \sqrt{0.001} = \sqrt{10}$ times $\alpha$, about
# 3.16 <!-- = 10**0.5 --> $\alpha$, against the sign of $g$. From then on $m$ falls by 0.9 a step
# and $\sqrt v$ by $\sqrt{0.999}$. The moves are a geometric series with the quotient
# $0.9 / \sqrt{0.999}$, which sums to
#
# $$ \frac{\sqrt{10}}{1 - 0.9 / \sqrt{0.999}}\, \alpha, $$
#
# that is 31.8 <!-- = 10**0.5 / (1 - 0.9 / 0.999**0.5) --> $\alpha$. The other weight moves by
# $\alpha$ in each step: the lone gradient moves its weight as far as 32 steady ones do, whatever
# its size. With $\beta_2 = 0.9$ the first move is $0.1 / \sqrt{0.1}$, or 0.32 <!-- = 0.1**0.5 -->
# $\alpha$, and all together are 6.2 <!-- = 0.1**0.5 / (1 - 0.9**0.5) --> $\alpha$: then $v$ forgets
# as fast as $m$, and the long silence counts for less.

# %%
m = v = moved = 0.0
for t in range(50_001, 50_400):
    g = -1e-3 if t == 50_001 else 0.0
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    moved -= (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t))
    if t == 50_001:
        print(f"at once {moved:.2f} alpha")
print(f"in all {moved:.1f} alpha")
np.testing.assert_allclose(moved, 10**0.5 / (1 - 0.9 / 0.999**0.5), rtol=0.02)

# %% [markdown]
# **C.** Let $n$ pixels be called crack, $TP$ of them rightly, and let $P$ pixels be crack. Then
# $\mathrm{F1} = 2\,TP / (n + P)$, since $FP = n - TP$ and $FN = P - TP$. With $k$ more pixels of
# probability $q$ it is
#
# $$ \frac{2\,TP + 2qk}{(n + P) + k} . $$
#
# That is a mean of $\mathrm{F1}$ and of $2q$, with the weights $n + P$ and $k$. So it lies between
# the two: the score rises if $2q > \mathrm{F1}$, and falls if $2q < \mathrm{F1}$. The best set
# holds all pixels with $q$ above half of its score. For 0.6 the threshold is 0.3. As F1 is at most
# 1, the best threshold of a calibrated network is never above one half.
#
# So a network with the threshold 0.93 is not calibrated: its probabilities are too high. In Eq. 11
# a crack pixel counts $r$ times as much as another one (Eq. 13). Among pixels that look alike, of
# which the fraction $q$ is crack, the pulls balance where $r\, q\, (1 - \sigma) = (1 - q)\,
# \sigma$. So the odds $\sigma / (1 - \sigma)$ are $r$ times those of $q$. If the score were 0.6,
# $q$ would be 0.3 at the threshold, and $r$ about 31 <!-- = 0.93 / 0.07 * 0.7 / 0.3 -->.

# %%
rng = np.random.default_rng(0)
q = rng.beta(0.3, 3, 100_000)
labels = rng.random(q.size) < q  # calibrated
order = np.argsort(-q)
called = np.arange(1, q.size + 1)
f1 = 2 * np.cumsum(labels[order]) / (called + labels.sum())
threshold = q[order][f1.argmax()]
print(f"best F1 {f1.max():.3f} at threshold {threshold:.3f}")
np.testing.assert_allclose(threshold, f1.max() / 2, atol=0.05)
