# %% [markdown]
# # Solutions of chapter 7

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
# First step: $m = 0.1 g$ and $m / (1 - 0.9) = g$; likewise $v$ gives $g^2$. The move is $-\alpha$
# times the sign of $g$. Second step: $m = 0.9 \cdot 0.1 g - 0.1 g = -0.01 g$, over $1 - 0.81$ that
# is $-0.0526 g$, and $v$ gives $g^2$ again: the move is $0.0526\,\alpha$ back. Plain gradient
# descent goes back all the way. Adam has not forgotten the first gradient.

# %%
m = 0.9 * 0.1 - 0.1
print(f"second move: {-m / (1 - 0.9**2):.4f} alpha")
