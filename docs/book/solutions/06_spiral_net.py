# %% [markdown]
# # Solutions of chapter 6

# %%
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 6.1
#
# Only the first layer of a module depends on what the module sees. Module 1 sees the three channels
# of the picture. Module $k$ sees $k - 1$ maps with `concat`, and a single channel otherwise: a sum
# of maps has one channel. The last layer has a weight for each channel it sees, and one bias.

# %%


def parameters(depths: Sequence[int], connection: str) -> int:
    def maps(k: int) -> int:
        return k if connection == "concat" else 1

    count = maps(len(depths)) + 1
    for k, depth in enumerate(depths):
        c = [maps(k) if k else 3, *ENCODER_CHANNELS[:depth], *reversed(DECODER_CHANNELS[:depth])]
        count += sum(9 * ci * co + 2 * co for ci, co in pairwise(c))
    return count


# %% [markdown]
# ## Exercise 6.2
#
# The same rule determines what module $k$ sees and what the last layer sees, so it deserves a
# function. The picture goes into module 1 and nowhere else.

# %%


def logits(
    x: Array,
    modules: Sequence[Callable[[Array], Array]],
    weights: Array,
    bias: float,
    connection: str,
) -> Array:
    def seen(maps: list[Array]) -> Array:
        if connection == "concat":
            return np.concatenate(maps, axis=3)
        return sum(maps[1:], start=maps[0]) if connection == "sum" else maps[-1]

    maps = [modules[0](x)]
    for module in modules[1:]:
        maps.append(module(seen(maps)))
    y: Array = (seen(maps) @ weights + bias)[..., np.newaxis]
    return y


# %% [markdown]
# ## Exercise 6.3
#
# Walk from the map of module $k$ back to the picture. In each module the way back leads through the
# decoders first and then through the encoders. `-(-a // 2)` rounds up, `a // 2` rounds down. It is
# enough to follow the two ends. With `concat`, module 3 also sees module 1 directly, but what it
# sees through module 2 reaches further, so the longest path gives the field.

# %%


def field(p: int, depths: Sequence[int], k: int) -> tuple[int, int]:
    a = b = p
    for depth in reversed(depths[:k]):
        for _ in range(depth):
            a, b = -(-(a - 2) // 2), b // 2
        for _ in range(depth):
            a, b = 2 * a, 2 * b + 2
    return a, b


# %% [markdown]
# ## On paper
#
# Two decoders back, then two encoders. From 3: the sources are those $i$ with $1 \le 2i \le 3$,
# which is 1, and of that those with $-1 \le 2i \le 1$, which is 0. The encoders read 0 to 2, and of
# these 0 to 6: seven pixels. From 4: $2 \le 2i \le 4$ gives 1 and 2; together $-1 \le 2i \le 2$
# gives 0 and 1. The encoders read 0 to 4, and 0 to 10: eleven pixels. ($3 + 1$ is a multiple of
# $2^2$, $4 + 1$ is not.)

# %%
assert field(3, (2,), 1) == (0, 6)
assert field(4, (2,), 1) == (0, 10)
