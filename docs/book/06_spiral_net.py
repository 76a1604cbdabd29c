# %% [markdown]
# # 6. From U-Net to Spiral-Net
#
# After this chapter you can
#
# - say for which image sizes a network of strided convolutions returns the size it was given, and
#   why;
# - draw a U-Net, follow its paths, and unfold them into a Spiral-Net;
# - count the parameters of both by hand, down to the last one;
# - say which pixels can reach a given pixel of a module's map;
# - explain what the order of depths and the connections of Tables 2 and 3 change;
# - read the last layer: a weighted sum of one map per module.
#
# It takes about an hour. You need chapter 2 (convolution and its adjoint) and chapter 3 (batch
# norm). Equation, table and figure numbers without a chapter number are those of the paper:
# Kobayashi, *Spiral-Net with F1-based Optimization For Image-Based Crack Detection*.

# %% [markdown]
# ## The idea
#
# A hairline crack is a dark line a pixel or two wide. So is a scratch, the edge of a stain, and the
# joint between two boards of the formwork. To tell them apart one must see two things at once: the
# line, exact to the pixel, and the surroundings it runs through.
#
# An **encoder** makes the picture smaller, step by step, with more and more channels. At the
# bottom, a value depends on a large part of the picture, but no longer says exactly where things
# are. A **decoder** makes it larger again, until there is one answer for each pixel. A **U-Net**
# adds *skip connections* from the encoder to the decoder at each size, so that the fine detail is
# not lost.
#
# A **Spiral-Net** takes the U-Net apart. A U-Net contains a short path that sees fine detail, a
# long one that sees far, and others in between. They share their layers. The Spiral-Net gives each
# path its own layers, which makes it a small encoder-decoder of its own, and puts these *modules*
# one after another, the shallowest first. Each outputs a single *map*, an image of one channel as
# large as the picture, and each later module sees the maps of all modules before it.

# %%
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

import minispiral
from minispiral import ops
from minispiral.data.synth import make_sample
from minispiral.errors import UserError
from minispiral.kernels.layout import scale_pixels
from minispiral.losses import cross_entropy
from minispiral.networks import HED, SpiralNet, UNet, WideUNet
from minispiral.networks.spiral import EncoderDecoder
from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS
from minispiral.nn import ConvNormReLU
from minispiral.runs.checkpoint import load_network
from minispiral.tensor import Function, Tensor, no_grad

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
rng = np.random.default_rng(6)

# %% [markdown]
# ## Sizes: why 255
#
# Every layer of the encoder is a convolution of 3 x 3 with stride 2 and no padding. Along one axis
# a side of $n$ pixels becomes
#
# $$ n \;\to\; \left\lfloor \frac{n - 3}{2} \right\rfloor + 1
#    = \left\lfloor \frac{n - 1}{2} \right\rfloor . $$
#
# Every layer of the decoder is the adjoint. Value $i$ is spread over pixels $2i$, $2i + 1$ and
# $2i + 2$, so the last of $n$ values ends at pixel $2(n - 1) + 2$, and the side becomes
#
# $$ n \;\to\; 2n + 1 . $$
#
# Down and up again should give the side we began with. It does when $n$ is odd; when $n$ is even,
# the floor loses a pixel that nothing brings back. And $(n - 1)/2$ must be odd again if there is a
# second layer. The rule is easy to see in terms of $n + 1$:
#
# $$ \begin{aligned}
# n + 1 \;&\to\; \frac{n + 1}{2} & \text{(encoder)}, \\
# n + 1 \;&\to\; 2\,(n + 1) & \text{(decoder)}.
# \end{aligned} $$
#
# The encoder halves $n + 1$. A network of depth $d$ halves it $d$ times, so $n + 1$ must be a
# multiple of $2^d$:
#
# $$ n = 2^d k - 1, \qquad k \ge 2 . $$
#
# With $k = 1$ nothing would be left at the bottom: $2^d - 1$ ends at $1 - 1 = 0$. The paper takes
# $d = 7$ and $k = 2$, which gives the smallest possible side: $2 \cdot 128 - 1 = 255$.

# %%


def down_and_up(n: int, depth: int) -> list[int]:
    sides = [n]
    for _ in range(depth):
        sides.append((sides[-1] - 1) // 2)
    for _ in range(depth):
        sides.append(2 * sides[-1] + 1)
    return sides


print("255:", " ".join(map(str, down_and_up(255, 7))))
print("256:", " ".join(map(str, down_and_up(256, 7))))
for depth in range(1, 8):
    for n in range(2 ** (depth + 1) - 1, 600):
        assert (down_and_up(n, depth)[-1] == n) == ((n + 1) % 2**depth == 0)

# %% [markdown]
# The library refuses other sides and names the nearest that fit:

# %%
tiny = SpiralNet((1, 2, 3), width=1 / 16, rng=rng)
try:
    tiny(Tensor(np.zeros((1, 64, 64, 3), np.float32)))
except UserError as error:
    print(error)

# %% [markdown]
# ## The U-Net and its paths
#
# Table 1 of the paper lists the layers. Encoder $k$ and decoder $k$ work between the same two
# sizes: encoder 3 goes from 63 to 31, decoder 3 from 31 to 63. In the U-Net decoder $k$ sees what
# decoder $k + 1$ made and, behind it along the channels, what encoder $k$ made. Both have the same
# size. (The deepest decoder has only the deepest encoder below it.)
#
# Follow the arrows in the left drawing below from the picture to the answer. You go down through
# encoders $1, 2, \dots, k$. At some $k$ you turn, by the skip connection or at the bottom, and go
# up through decoders $k, \dots, 2, 1$. This $k$ is the only choice. So a U-Net of depth $d$ has
# exactly $d$ paths, and path $k$ is an encoder-decoder of depth $k$. All of them share encoder 1
# and decoder 1; all but the first share encoder 2 and decoder 2; and so on.
#
# **Unfolding** gives every path its own copy of its layers. Now there are $d$ modules of depths
# $1, 2, \dots, d$, with $1 + 2 + \dots + d$ encoders instead of $d$.

# %%
DEPTH = 4
fig, (left, right) = plt.subplots(
    1, 2, figsize=(7, 3.6), width_ratios=(1, 1.75), layout="constrained"
)
colors = [plt.get_cmap("viridis")(k / DEPTH) for k in range(DEPTH)]


def arrow(
    ax: Any, start: tuple[float, float], end: tuple[float, float], color: Any = "black"
) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": color, "lw": 1.5})


for k in range(DEPTH):  # layer k + 1, down and up again
    arrow(left, (k, -k), (k + 1, -k - 1), colors[k])
    arrow(left, (2 * DEPTH - k - 1, -k - 1), (2 * DEPTH - k, -k), colors[k])
    left.text(k + 0.35, -k - 0.75, f"{k + 1}", ha="right", color=colors[k])
for k in range(1, DEPTH):  # at the bottom there is nothing to skip
    arrow(left, (k, -k), (2 * DEPTH - k, -k), "gray")
square = {"marker": "s", "ms": 5, "mec": "black", "zorder": 3}
left.plot([0], [0], color="black", **square)
left.plot([2 * DEPTH], [0], color="white", **square)
left.set(title="U-Net", xlim=(-0.8, 2 * DEPTH + 0.8))

BUS, GAP, start = 0.8, 1.5, 0.0
right.plot([0], [0], color="black", **square)
for depth in range(1, DEPTH + 1):
    for k in range(depth):
        arrow(right, (start + k, -k), (start + k + 1, -k - 1), colors[k])
        arrow(right, (start + 2 * depth - k - 1, -k - 1), (start + 2 * depth - k, -k), colors[k])
    right.text(start + depth, 0.15, f"{depth}", ha="center", fontsize=9)
    if depth > 1:  # the maps before it go in
        arrow(right, (start, BUS), (start, 0), "gray")
    end = start + 2 * depth
    right.plot([end, end], [0, BUS], color="gray", lw=1.5)
    right.plot([end], [0], color="white", **square)  # its map
    start = end + GAP
right.plot([2, end], [BUS, BUS], color="gray")
arrow(right, (end, BUS), (end + 1.6, BUS), "gray")
right.text(end + 1.7, BUS, "1 x 1", va="center", fontsize=9)
right.set(title="Spiral-Net", xlim=(-0.8, end + 4.8))
for ax in (left, right):
    ax.set(yticks=range(-DEPTH, 1), xticks=[], ylim=(-DEPTH - 0.5, 1.3))
    ax.set_yticklabels([])
left.set_yticklabels([f"{(256 >> -y) - 1} px" for y in range(-DEPTH, 1)])
left.set_ylabel("side of the image")

# %% [markdown]
# *Figure 6.1. A U-Net of depth 4 and the Spiral-Net it unfolds into. An arrow down is an encoder,
# an arrow up a decoder; those of one colour work between the same two sizes. Numbers count encoders
# on the left and modules on the right. The black square is the picture, a white one an image of one
# channel and the same size: the answer on the left, the modules' maps on the right. Grey arrows on
# the left are skip connections, one from each encoder but the last to the decoder of its colour. On
# the right each map joins the grey line, which leads all maps so far into the next module, and in
# the end into the 1 x 1 convolution. The picture itself enters module 1 alone.*

# %% [markdown]
# Unfolding alone would leave the modules in parallel. The paper does two more things:
#
# - the modules come **one after another**. Module $k$ sees the maps of modules $1, \dots, k - 1$
#   instead of the picture; only module 1 sees the picture;
# - between the modules there is **one channel**. Inside a module there are up to 512; what is
#   passed on is one number per pixel.
#
# So this is not the U-Net written in another way: it is a different network made of the same
# layers.

# %% [markdown]
# ## The smallest code
#
# Let $m_k$ be the map of module $k$, of shape `(n, h, w, 1)`, $f_k$ the module and $x$ the picture.
# The wiring is
#
# $$ \begin{aligned}
# m_1 &= f_1(x), \\
# m_k &= f_k\big([m_1, \dots, m_{k-1}]\big), \\
# \text{logits} &= b + \sum_k a_k m_k .
# \end{aligned} $$
#
# Square brackets mean concatenation along the channels. The last formula is a 1 x 1 convolution
# with the weights $a_k$ and the bias $b$. In code, first a layer, then a module, then the network:
# `layer` applies the three operations of chapters 2 and 3 in turn.

# %%


def layer(x: Tensor, weights: ConvNormReLU) -> Tensor:
    convolve = ops.conv_transpose2d if weights.conv.transpose else ops.conv2d
    x = convolve(x, weights.conv.w, stride=2)
    return ops.relu(ops.batch_norm(x, weights.norm.gamma, weights.norm.beta))


def module(x: Tensor, weights: EncoderDecoder) -> Tensor:
    for one in weights.encoder + weights.decoder:
        x = layer(x, one)
    return x


def spiral_net(x: Tensor, weights: SpiralNet) -> Tensor:
    maps = [module(x, weights.stages[0])]
    for stage in weights.stages[1:]:
        maps.append(module(ops.concatenate(maps), stage))
    return ops.conv2d(ops.concatenate(maps), weights.mix.w) + weights.mix.b


network = SpiralNet((1, 2, 3, 4), width=1 / 16, rng=rng).astype(np.float64)
pictures = Tensor(rng.uniform(-1, 1, (2, 63, 63, 3)))
ours, theirs = spiral_net(pictures, network), network(pictures)
print(f"logits of shape {ours.shape} differ by at most {abs(ours.data - theirs.data).max():.0e}")
np.testing.assert_allclose(ours.data, theirs.data, atol=1e-10)

# %% [markdown]
# ## Counting parameters
#
# A layer from $c_i$ to $c_o$ channels has a weight for each of its $3 \times 3$ taps and each pair
# of channels. Batch norm adds $\gamma$ and $\beta$ for each channel. There is no bias: batch norm
# would subtract it again (chapter 3). So a layer has
#
# $$ 9\, c_i c_o + 2\, c_o $$
#
# parameters. A module of depth $d$ that sees $s$ channels has these channel counts, taken from
# Table 1:
#
# $$ \begin{aligned}
# s &\to \underbrace{64 \to 128 \to 256 \to 512 \to \dots}_{d\ \text{encoders}} \\
# &\to \underbrace{\dots \to 256 \to 128 \to 64 \to 1}_{d\ \text{decoders}}
# \end{aligned} $$
#
# Let us do the first one by hand. Module 1 sees 3 channels and goes $3 \to 64 \to 1$:
#
# $$ \begin{aligned}
# & (9 \cdot 3 \cdot 64 + 2 \cdot 64) + (9 \cdot 64 \cdot 1 + 2 \cdot 1) \\
# & = 1856 + 578 = 2434 .
# \end{aligned} $$
#
# **Predict**, before you run it: which share of the parameters do the last two of the seven modules
# hold?

# %%


def layer_parameters(ci: int, co: int) -> int:
    return 9 * ci * co + 2 * co


def module_channels(s: int, depth: int) -> list[int]:
    return [s, *ENCODER_CHANNELS[:depth], *reversed(DECODER_CHANNELS[:depth])]


def module_parameters(s: int, depth: int) -> int:
    c = module_channels(s, depth)
    return sum(layer_parameters(ci, co) for ci, co in pairwise(c))


seen = [3, 1, 2, 3, 4, 5, 6]  # channels that modules 1 to 7 see
by_module = [module_parameters(s, depth) for depth, s in enumerate(seen, start=1)]
for depth, (s, count) in enumerate(zip(seen, by_module, strict=True), start=1):
    print(f"module {depth}: {' '.join(map(str, module_channels(s, depth))):64} {count:>11,}")
mix = 7 + 1  # seven weights and a bias
print(f"the 1 x 1 convolution {mix:>64}")
print(f"Spiral-Net {sum(by_module) + mix:>75,}")
assert by_module[0] == 2434

# %% [markdown]
# The U-Net has the same encoders, but each only once. Its decoder $k$ sees the channels of decoder
# $k + 1$ and those of encoder $k$. The paper does not say how its last decoder ends; ours outputs
# the logits, so it has a bias and neither batch norm nor ReLU. Our "wide" U-Net multiplies all
# channel counts but the picture's 3 and the answer's 1 by 4/3; the paper only says that it is
# wider.

# %%


def unet_parameters(factor: float = 1.0) -> int:
    down = [round(c * factor) for c in ENCODER_CHANNELS]
    up = [round(c * factor) for c in DECODER_CHANNELS[1:]]  # decoders 2 to 7
    count = sum(layer_parameters(ci, co) for ci, co in pairwise([3, *down]))
    c = down[-1]
    for k in range(7, 1, -1):
        count += layer_parameters(c, up[k - 2])
        c = up[k - 2] + down[k - 2]
    return count + 9 * c * 1 + 1


ours_by_hand = {
    "Spiral-Net": sum(by_module) + mix,
    "U-Net": unet_parameters(),
    "wide U-Net": unet_parameters(4 / 3),
}


def trained(network: Any) -> int:
    return sum(p.data.size for p in network.parameters())


def normalised(network: Any) -> int:
    """The channels that batch norm follows."""
    return sum(array.size for name, array in network.state().items() if name.endswith("gamma"))


from_code, normed = {}, {}
for name, kind in (
    ("HED", HED),
    ("U-Net", UNet),
    ("Spiral-Net", SpiralNet),
    ("wide U-Net", WideUNet),
):
    one_network = kind(rng=rng)
    from_code[name], normed[name] = trained(one_network), normalised(one_network)
paper = {"Spiral-Net": "39.7", "U-Net": "22.4", "wide U-Net": "39.9", "HED": "14.1"}
print(f"{'':12}{'by hand':>12}{'the code':>12}{'/ 2^20':>8}{'/ 10^6':>8}{'paper':>8}")
for name, count in ours_by_hand.items():
    assert count == from_code[name]
    million = f"{count / 2**20:8.2f}{count / 1e6:8.2f}{paper[name]:>7}M"
    print(f"{name:12}{count:12,}{from_code[name]:12,}{million}")

# %% [markdown]
# The paper's *M* is $2^{20}$, not a million: in millions these would be 41.6 <!-- =
# from_code["Spiral-Net"] / 1e6 -->, 23.5 <!-- = from_code["U-Net"] / 1e6 --> and 41.9 <!-- =
# from_code["wide U-Net"] / 1e6 -->.
#
# Table 5 has a fourth network, HED (*holistically-nested edge detection*: a finder of edges, built
# on a network that was made to tell objects apart), and the paper does not say what it counts. A
# batch norm also has two running moments for each channel (chapter 3), and a convolution in front
# of it may have a bias, which batch norm takes away again. So there are four ways to count. Here is
# what each would print:

# %%
printed: dict[tuple[int, int], dict[str, str]] = {}
print(f"{'':24}" + "".join(f"{name:>12}" for name in from_code))
for moments, biases in ((0, 0), (1, 0), (0, 1), (1, 1)):
    row = printed[moments, biases] = {}
    for name, count in from_code.items():
        row[name] = f"{(count + (2 * moments + biases) * normed[name]) / 2**20:.1f}"
    marked = (f"{m}{'' if m == paper[name] else ' (!)'}" for name, m in row.items())
    what = f"moments {'yes' if moments else 'no'}, biases {'yes' if biases else 'no'}"
    print(f"{what:24}" + "".join(f"{m:>12}" for m in marked))
print(f"{'the paper':24}" + "".join(f"{paper[name]:>12}" for name in from_code))
held = from_code["HED"] + 2 * normed["HED"]
print(f"HED with its moments: {held:,} numbers, {held / 2**20:.4f} x 2^20")

# %% [markdown]
# **No row gives all four.** HED with its moments is 14.0465 <!-- = held / 2**20 --> $\times
# 2^{20}$, which prints as 14.0 <!-- = float(printed[1, 0]["HED"]) -->, not as the paper's 14.1.
# With moments and biases it is 14.1 <!-- = float(printed[1, 1]["HED"]) -->, but then the U-Net is
# 22.5 <!-- = float(printed[1, 1]["U-Net"]) -->, not 22.4. So Table 5 is reproduced in three numbers
# of four, whichever way one counts <!-- holds {sum(row[name] == paper[name] for name in paper) for
# row in printed.values()} == {3} -->. For the same reason it does not settle whether the paper's
# convolutions have biases in front of batch norm: ours have none.
#
# Where are the parameters? Modules 6 and 7 hold almost three quarters of them, 72 % <!-- = 100 *
# sum(by_module[5:]) / sum(by_module) -->, and what a module *sees* costs next to nothing.

# %%
print(f"modules 6 and 7: {sum(by_module[5:]) / sum(by_module):.0%}")
more = layer_parameters(6, 64) - layer_parameters(1, 64)
print(f"module 7 sees six maps; seeing one would save it {more:,} of {by_module[6]:,} parameters")

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
bars = ax.bar(range(1, 8), np.array(by_module) / 2**20, color="tab:blue")
ax.bar_label(bars, [f"{count / sum(by_module):.1%}" for count in by_module])
ax.set(xlabel="module (and its depth)", ylabel="parameters / $2^{20}$", ylim=(0, 19))

# %% [markdown]
# *Figure 6.2. Parameters of each module of the full Spiral-Net, and their share of the total.*

# %% [markdown]
# ## What a module sees: receptive fields
#
# Which pixels of the input can affect pixel $p$ of a module's map? They are its *receptive field*.
# Work backwards from $p$, along one axis. Say we need the values from $a$ to $b$ of some layer's
# output. From its input we then need:
#
# - **encoder**: output $i$ reads inputs $2i$, $2i + 1$, $2i + 2$. So we need $2a$ to $2b + 2$;
# - **decoder**: input $i$ writes outputs $2i$, $2i + 1$, $2i + 2$. So output $p$ comes from those
#   $i$ with $p - 2 \le 2i \le p$, and we need $\lceil (a - 2)/2 \rceil$ to $\lfloor b/2 \rfloor$.
#
# An even output of a decoder has two sources, an odd one a single source. So the receptive field
# depends on where $p$ lies on the grid.

# %%


def needed(a: int, b: int, depth: int) -> tuple[int, int]:
    """The first and last input that pixels ``a`` to ``b`` of a module's map see."""
    for _ in range(depth):
        a, b = -(-(a - 2) // 2), b // 2
    for _ in range(depth):
        a, b = 2 * a, 2 * b + 2
    return a, b


def field(p: int, depth: int) -> tuple[int, int]:
    return needed(p, p, depth)


for depth in range(1, 8):
    grid = range(1024, 1024 + 2**depth)
    widths = [b - a + 1 for a, b in (field(p, depth) for p in grid)]
    low, high, mean = min(widths), max(widths), np.mean(widths)
    print(f"depth {depth}: {low:4} to {high:4} pixels, on average {mean:.1f}")

# %% [markdown]
# Is that true? The gradient of one pixel of the map with respect to the input is nonzero exactly
# where the input matters. Two things would spoil the test. ReLU blocks the gradient where it
# outputs 0, so we take the absolute values of the weights and a positive input. And in training
# **batch norm mixes all pixels**: change one, and the mean of its channel changes, and with it
# every output. So we switch to evaluation, where the moments are constants.

# %%
SIDE = 63
one = EncoderDecoder(3, 3, 1 / 16, rng)
for p in one.parameters():
    p.data = np.abs(p.data)


def reach(y: Tensor, x: Tensor, row: int, column: int) -> Array:
    """Which pixels of ``x`` pixel ``row, column`` of the map ``y`` depends on, ``(h, w)``."""
    pick = np.zeros(y.shape, y.dtype)
    pick[0, row, column, 0] = 1
    y.backward(pick)
    assert x.grad is not None
    return (x.grad[0] != 0).any(axis=-1)


for p in range(24, 40):
    x_in = Tensor(rng.uniform(0.1, 1, (1, SIDE, SIDE, 3)).astype(np.float32), requires_grad=True)
    rows = np.flatnonzero(reach(one.eval()(x_in), x_in, p, 31).any(axis=1))
    assert (rows[0], rows[-1]) == field(p, 3)
x_in = Tensor(rng.uniform(0.1, 1, (1, SIDE, SIDE, 3)).astype(np.float32), requires_grad=True)
y = one.train()(x_in)
row, column = np.unravel_index(y.data[0, ..., 0].argmax(), (SIDE, SIDE))  # not stopped by ReLU
everywhere = reach(y, x_in, int(row), int(column))
print(f"evaluation: as computed; in training one pixel depends on {everywhere.mean():.0%} of all")

# %% [markdown]
# So the field of a module of depth $d$ is $3 \cdot 2^d - 1$ pixels wide, and doubles with each
# layer. One sees why: going back through the decoders, two neighbouring values come from two
# neighbouring values; going back through an encoder, $n$ values come from $2n + 1$, so that $n + 1$
# doubles, from 3 to $3 \cdot 2^d$. The narrow fields belong to pixels that are an odd output, with
# a single source, in every decoder on the way back: those where $p + 1$ is a multiple of $2^d$.
# Their field is $2^{d+1} - 1$ wide. (The averages above are averages: no pixel of depth 3 sees 22
# pixels, each sees 15 or 23 <!-- holds {field(p, 3)[1] - field(p, 3)[0] + 1 for p in range(1024,
# 1032)} == {15, 23} -->.)
#
# That holds far from all edges. A patch ends: at its bottom, module 6 has 3 values along an axis
# and module 7 a single one. So let us also follow every pixel inside a patch of 255.

# %%
SIDE_OF_PATCH = 255


def field_in_patch(p: int, depth: int) -> tuple[int, int]:
    a = b = p
    for layer in range(1, depth + 1):  # up: the image below has this many values
        below = (SIDE_OF_PATCH + 1) // 2**layer - 1
        a, b = max(-(-(a - 2) // 2), 0), min(b // 2, below - 1)
    return 2**depth * a, 2**depth * b + 2 ** (depth + 1) - 2  # down again


in_patch = {}
for depth in range(1, 8):
    fields = (field_in_patch(p, depth) for p in range(SIDE_OF_PATCH))
    in_patch[depth] = sorted({b - a + 1 for a, b in fields})
    print(f"depth {depth} in a patch of 255: {' or '.join(map(str, in_patch[depth]))} pixels")

# %% [markdown]
# A pixel of module 3's map sees 15 or 23 <!-- holds in_patch[3] == [15, 23] --> pixels of maps 1
# and 2. But each of those saw some pixels around it. Through the earlier modules it sees further:
# apply `needed` once for each module, from the last to the first.

# %%


def through_all(p: int, depths: Sequence[int]) -> tuple[int, int]:
    a = b = p
    for depth in reversed(depths):
        a, b = needed(a, b, depth)
    return a, b


for depth in range(1, 8):
    for p in range(1024, 1024 + 2**depth):
        a, b = field(p, depth)
        assert b - a + 1 == (2 * 2**depth if (p + 1) % 2**depth == 0 else 3 * 2**depth) - 1

P = 1024
own, total = [], []
for depth in range(1, 8):
    a, b = field(P, depth)
    own.append(b - a + 1)
    a, b = through_all(P, range(1, depth + 1))
    total.append(b - a + 1)
sample = make_sample(np.random.default_rng(10), 255, 255)
cracks = np.argwhere(sample.mask)  # row and column of every crack pixel
crack_y, crack_x = cracks[np.abs(cracks - 127).sum(axis=1).argmin()]  # the nearest to the middle

fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
left.imshow(sample.photo, extent=(0, 255, 255, 0))
for depth in range(1, 8):
    a, b = field(P, depth)
    corner = (crack_x + a - P, crack_y + a - P)
    color = plt.get_cmap("viridis")((depth - 1) / 6)
    left.add_patch(Rectangle(corner, b - a + 1, b - a + 1, fill=False, ec=color, lw=2))
left.set(xlim=(0, 255), ylim=(255, 0), xlabel="pixels", ylabel="pixels")
right.plot(range(1, 8), own, "o-", label="of its own input")
right.plot(range(1, 8), total, "s--", label="of the picture, through all\nmodules before it")
right.axhline(255, color="gray", ls=":", label="side of a patch")
right.set(xlabel="module (and its depth)", ylabel="receptive field in pixels", yscale="log")
right.legend(fontsize=9)

# %% [markdown]
# *Figure 6.3. Left: the receptive fields of single modules around one pixel of a crack, dark for
# depth 1 to bright for depth 6, on a synthetic patch of 255 x 255 pixels; that of depth 7 is the
# whole patch <!-- holds in_patch[7] == [255] -->. Right: their largest width far from all edges,
# for the module alone and through all modules before it.*
#
# ![What a pixel of a module's map depends on, from image to image through the
# module](figures/field.svg)
#
# *To touch, on the site. The images of a module along one axis of a patch of 255, from its input to
# the bottom (blue) and up again to its map (orange), with the number of their values. Dark is what
# the pixel depends on. Where does the field jump when the pixel moves by one?*

# %% [markdown]
# Module 1 sees at most 5 x 5 <!-- holds in_patch[1][-1] == 5 --> pixels: enough to make dark lines
# darker, no more. Module 4 can see that a line continues for 31 or 47 <!-- holds in_patch[4] ==
# [31, 47] --> pixels. Module 6 sees 127 or 191 <!-- holds in_patch[6] == [127, 191] --> of the 255
# pixels of the maps before it, and module 7 all of them. It can tell, for instance, whether the
# line is one of many parallel joints.
#
# The fields are *limits*. The part of a field in which most of the gradient is found is the
# **effective receptive field**. It depends on the weights, so we take a trained network: the one
# with six modules that comes with the library (chapter 7). In four synthetic photographs we go back
# from the brightest pixel of each module's map, among those that have the wide field, and have it
# inside the patch. How wide is the square around the middle of the field that holds 90 % of the
# absolute gradient with respect to the module's input? If the gradient were spread evenly, it would
# be $\sqrt{0.9}$ times as wide as the field.

# %%
shipped = load_network("pretrained").eval()
several = np.random.default_rng(11)
photos = scale_pixels(np.stack([make_sample(several, 255, 255).photo for _ in range(4)]))


def used(stage: EncoderDecoder, x: Array, depth: int, share: float = 0.9) -> int:
    """Side of the middle square that holds a share of the gradient of a bright pixel."""
    wide = [p for p in range(0, 255, 2**depth) if field(p, depth)[0] >= 0]
    wide = [p for p in wide if field(p, depth)[1] < 255]
    x_in = Tensor(x, requires_grad=True)
    y = stage(x_in)
    bright = y.data[0, ..., 0][np.ix_(wide, wide)]
    row, column = (wide[k] for k in np.unravel_index(bright.argmax(), bright.shape))
    pick = np.zeros(y.shape, y.dtype)
    pick[0, row, column, 0] = 1
    y.backward(pick)
    assert x_in.grad is not None
    (top, bottom), (left, right) = field(row, depth), field(column, depth)
    size = np.abs(x_in.grad[0]).sum(axis=-1)[top : bottom + 1, left : right + 1]
    away = np.abs(np.arange(len(size)) - len(size) // 2)  # from the middle
    rings = np.bincount(np.maximum.outer(away, away).ravel(), size.ravel())
    return 2 * int(np.searchsorted(np.cumsum(rings), share * rings.sum())) + 1


with no_grad():
    shipped_maps = [m.data for m in shipped.maps(Tensor(photos))]
effective = []
print(f"{'module':>6}{'field':>8}{'if even':>10}{'90 % of the gradient':>23}")
for depth, stage in enumerate(shipped.stages, start=1):
    given = np.concatenate(shipped_maps[: depth - 1], axis=-1) if depth > 1 else photos
    effective.append(np.mean([used(stage, one[np.newaxis], depth) for one in given]))
    limit = 3 * 2**depth - 1
    print(f"{depth:6}{limit:8}{np.sqrt(0.9) * limit:10.0f}{effective[-1]:23.0f}")

# %% [markdown]
# In the first three modules the square is the whole field <!-- holds all(effective[k] > 0.95 * (3 *
# 2 ** (k + 1) - 1) for k in range(3)) -->: the outermost pixels count, too. In the others the
# middle counts for more, but the outer parts are used: in module 5 the square is some 70 % as wide
# as the field <!-- holds 0.62 < effective[4] / 95 < 0.78 -->, in module 6 some 85 % <!-- holds 0.8
# < effective[5] / 191 < 0.9 -->. In a stack of many convolutions with stride 1 it would be a small
# part of it, since most paths back from the output stay near the middle. Here each encoder doubles
# the step from value to value, so that few layers lead far.
#
# One more thing happens at the bottom of module 7. There, a patch of 255 pixels is a single value,
# 1 x 1 pixels for each channel. Batch norm takes its moments over as many values as there are
# patches in the batch: 32 in the paper. With one patch there would be one value with variance 0,
# and the library refuses to train. Chapter 3 shows what two values are worth.

# %% [markdown]
# ## Order and connections: Tables 2 and 3
#
# The depths need not increase. Table 2 of the paper tries other orders, always with seven modules,
# and Table 3 other connections:
#
# | connection | module $k$ sees |
# |---|---|
# | `concat` | $[m_1, \dots, m_{k-1}]$ |
# | `sum` | $m_1 + \dots + m_{k-1}$ |
# | `none` | $m_{k-1}$ |
#
# Here are the F1 scores of the paper in percent, next to those of small networks that are stored
# with this project: an eighth of the channels, 600 or 1200 steps, one *seed* (the number from which
# first weights and patches are drawn), on the real photographs of UAV75, a public dataset, and on
# synthetic ones. All are trained with cross-entropy.

# %%
KEPT = Path(minispiral.__file__).parents[1] / "bench" / "results" / "paper"
TABLES = (("table2", "order of depths"), ("table3", "connection"))
f1: dict[str, tuple[float, ...]] = {}  # the paper's, and those of our two
if not KEPT.exists():
    print("The scores are in the folder bench of a checkout, which is not here.")
for table, what in TABLES if KEPT.exists() else ():
    rows = {
        photographs: json.loads((KEPT / photographs / f"{table}.json").read_text())["rows"]
        for photographs in ("uav75", "synthetic")
    }
    print(f"{what:16}{'paper':>8}{'UAV75':>8}{'synthetic':>11}")
    for real, synthetic in zip(*rows.values(), strict=True):
        assert real["labels"] == synthetic["labels"]
        scores = real["paper"]["F1"], real["mean"]["f1"], synthetic["mean"]["f1"]
        f1[real["labels"][what]] = scores
        columns = "{:8.1f}{:8.1f}{:11.1f}".format(*scores)
        print(f"{real['labels'][what]:16}{columns}")

# %% [markdown]
# The orders that fail in the paper, those with a module of depth 6 or 7 in front, fail in all three
# columns <!-- holds max(max(f1[order]) for order in ("7-6-5-4-3-2-1", "6-6-6-6-6-6-6",
# "7-7-7-7-7-7-7")) < 1 -->. Ours fail with depths 4 and 5, too, and in the table of connections
# `sum` fails with `none` <!-- holds max(f1["4-4-4-4-4-4-4"][1:] + f1["5-5-5-5-5-5-5"][1:] +
# f1["sum"][1:] + f1["none"]) < 1 -->. The best order differs <!-- holds len({max(list(f1)[:11],
# key=lambda order: f1[order][k]) for k in range(3)}) > 1 -->; networks as small as ours say little
# about that.
#
# In the paper a score of 0 means that the network says "no crack" everywhere. The paper gives two
# reasons why a deep module in front fails: it sees few channels, and it is far from the loss, the
# source of the gradient. We can look at both directions at the start of training: at what comes
# through in the forward pass, and at what arrives in the backward pass.
#
# **Forward.** The first module is the only one that sees the picture. What it loses is lost for
# all. So how much of the picture's detail is left in the map of an untrained first module? We try
# to recover the grey value of a pixel, minus the mean of its 5 x 5 neighbourhood, from the 5 x 5
# pixels of the map around it, by least squares. The fraction of its variance that is recovered is
# called $R^2$: 1 is all, 0 nothing.

# %%


def windows(image: Array) -> Array:
    """The 5 x 5 pixels around every pixel that has them, ``(h - 4, w - 4, 25)``."""
    view = np.lib.stride_tricks.sliding_window_view(image, (5, 5))
    return view.reshape(*view.shape[:2], 25)


def detail_left(depth: int, seed: int) -> float:
    seeded = np.random.default_rng(seed)
    photo = scale_pixels(make_sample(seeded, 127, 127).photo[np.newaxis])
    with no_grad():
        m = EncoderDecoder(3, depth, 1 / 8, seeded)(Tensor(photo)).data[0, ..., 0]
    around = windows(photo[0].mean(axis=-1))
    wanted = (around[..., 12] - around.mean(axis=-1)).ravel()
    given = windows(m).reshape(-1, 25)
    given = np.column_stack([given, np.ones(len(given))])
    missed = wanted - given @ np.linalg.lstsq(given, wanted)[0]
    return float(1 - missed.var() / wanted.var())


recovered = [np.mean([detail_left(depth, seed) for seed in range(3)]) for depth in range(1, 6)]
for depth, r2 in enumerate(recovered, start=1):
    print(f"first module of depth {depth}: R^2 = {r2:.2f}")

# %% [markdown]
# A module of depth 1 lets some of the detail through untrained. From depth 2 on hardly any is
# left <!-- holds recovered[0] > 0.1 > 0.06 > max(recovered[1:]) -->: such modules start as a blur,
# and must learn to pass on the picture before a later module can learn to interpret it.
#
# **Backward.** What arrives? We look at the gradient with respect to every module's map at the
# start of training, for five modules, and ask two things: how large it is, and how much it still
# resembles the gradient with respect to the logits, pixel by pixel. The latter simply says "more
# here, less there". The resemblance is their *correlation*: the mean product of the two, once each
# has been given mean 0 and mean square 1. Its size is 1 if one is a fixed multiple of the other,
# and nearly 0 if they have nothing to do with each other.

# %%


def joined(maps: list[Tensor], connection: str) -> Tensor:
    """What the next module sees of the maps before it."""
    if connection == "concat":
        return ops.concatenate(maps)
    if connection == "none":
        return maps[-1]
    total = maps[-1]
    for earlier in maps[-2::-1]:
        total = total + earlier
    return total


class Watch(Function):
    """The identity, which appends the gradient that passes to a list."""

    def __init__(self, found: list[Array]) -> None:
        self.found = found

    def forward(self, x: Array) -> Array:
        return x.copy()

    def backward(self, gy: Array) -> Array:
        self.found.append(gy.ravel())
        return gy


def arriving(depths: Sequence[int], connection: str, seeds: int = 4) -> tuple[Array, Array]:
    """Size of each map's gradient relative to the logits', and its correlation with it."""
    sizes, correlations = [], []
    for seed in range(seeds):
        seeded = np.random.default_rng(seed)
        net = SpiralNet(depths, connection, 1 / 16, rng=seeded)
        samples = [make_sample(seeded, 127, 127) for _ in range(2)]
        x = Tensor(scale_pixels(np.stack([s.photo for s in samples])))
        mask = np.stack([s.mask for s in samples])[..., None]
        maps: list[Tensor] = []
        found: list[Array] = []
        for stage in net.stages:
            maps.append(Watch(found)(stage(joined(maps, connection) if maps else x)))
        logits = Watch(found)(net.mix(joined(maps, connection)))
        np.testing.assert_allclose(logits.data, net(x).data, atol=1e-5)
        cross_entropy(logits, mask).backward()
        last, *rest = found  # backward comes to the logits first, then to the last map
        sizes.append([np.log(g.std() / last.std()) for g in rest[::-1]])
        correlations.append([abs(np.corrcoef(g, last)[0, 1]) for g in rest[::-1]])
    return np.exp(np.mean(sizes, axis=0)), np.mean(correlations, axis=0)


arrived = {
    (connection, order): arriving((1, 2, 3, 4, 5)[::order], connection)
    for connection in ("concat", "sum", "none")
    for order in (1, -1)
}

fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.8), layout="constrained")
for connection, color in (("concat", "tab:blue"), ("sum", "tab:orange"), ("none", "tab:red")):
    for order, style in ((1, "o-"), (-1, "s--")):
        size, correlation = arrived[connection, order]
        label = f"{connection}, {'1-2-3-4-5'[::order]}"
        left.plot(range(1, 6), size, style, color=color, ms=4, label=label)
        right.plot(range(1, 6), correlation, style, color=color, ms=4)
left.set(xlabel="module", ylabel="size of the gradient\non its map", yscale="log")
right.set(xlabel="module", ylabel="correlation with\nthe gradient on the logits")
fig.legend(ncols=3, loc="outside upper center", fontsize=9)

# %% [markdown]
# *Figure 6.4. The gradient with respect to each module's map compared with that of the logits,
# before the first step: its size and its correlation over all pixels. Mean of four seeds, two
# patches of 127 x 127 pixels, a sixteenth of the channels.*

# %% [markdown]
# There are two lessons, and the first may be surprising. **The gradient does not become small** on
# its way: it grows from module to module <!-- holds all((np.diff(size) < 0).all() for size, _ in
# arrived.values()) -->, most of all without connections <!-- holds max(arrived, key=lambda key:
# arrived[key][0][0])[0] == "none" -->. The reason is batch norm. A module's output has the same
# spread however flat its input is, so a small change in a flat input has a large effect. Besides,
# Adam (chapter 7) does not care about the size.
#
# **What is lost is the message.** The last map always gets the logits' gradient times one weight.
# With `concat` and `sum` the maps before it get that same clear message too, mixed with what comes
# through the later modules. These are random at the start, and turn it into something that looks
# like noise. The shallower the later modules are, the less they distort. With `none` the clear
# message arrives at the last map alone, and all other modules must wait for it.
#
# By this measure the decreasing order is no worse than the increasing one <!-- holds
# all((arrived[c, -1][1] - arrived[c, 1][1]).min() > -0.02 for c in ("concat", "sum", "none")) -->.
# So the reason why it fails, here at least, must be in the forward pass. (Correlation is a crude
# measure: what comes through the later modules is a true gradient, and useful as soon as these have
# learned something. And `sum`, which learns nothing in our small tables, looks no worse here than
# `concat`.)

# %% [markdown]
# ## One map for each module, and the last layer
#
# Every module ends in a ReLU, so no map is negative. The last layer takes their weighted sum. So
# for each pixel we can say what each module adds to the logit or subtracts from it:

# %%
with no_grad():
    maps = [m.data[0, ..., 0] for m in network.maps(pictures)]
a, b = network.mix.w.data[0, 0, :, 0], float(network.mix.b.data[0])
y, x = 20, 40
parts = [float(weight * m[y, x]) for weight, m in zip(a, maps, strict=True)]
print("weights a_k:          ", np.round(a, 3))
print(f"parts at pixel {x},{y}:  ", np.round(parts, 3))
print(f"their sum and the bias: {sum(parts) + b:.6f}")
np.testing.assert_allclose(sum(parts) + b, network(pictures).data[0, y, x, 0], rtol=1e-9, atol=1e-9)
assert all((m >= 0).all() for m in maps)

# %% [markdown]
# A module with a positive weight can only vote for crack, one with a negative weight only against.
# The paper's Figure 3 shows how a trained network divides the work: the first two modules sharpen
# the picture, the middle ones propose lines, the last ones veto. Chapter 7 trains a small network
# and draws its maps.
#
# What is simplified here? All networks of this chapter but one have random weights. A receptive
# field says what a pixel *may* depend on, an effective one where a small change counts, for a few
# pixels. What we saw of order and connections is only the moment before the first step.

# %% [markdown]
# ## Where it lives
#
# **Now read** some 110 lines: `minispiral.networks.table1`, the numbers;
# `minispiral.networks.spiral.EncoderDecoder`, a module; and `minispiral.networks.spiral.SpiralNet`,
# the network. Nothing else is needed to write it down.
#
# - `minispiral.networks.table1.ENCODER_CHANNELS` and `minispiral.networks.table1.DECODER_CHANNELS`:
#   Table 1
# - `minispiral.networks.spiral.EncoderDecoder`: a module
# - `minispiral.networks.spiral.SpiralNet`: the network; `minispiral.networks.spiral.SpiralNet.maps`
#   gives the maps of all modules
# - `minispiral.networks.depths.PRESETS`: the orders of Table 2
# - `minispiral.networks.unet.UNet`, `minispiral.networks.unet.WideUNet`: the U-Net, narrow and wide
# - `minispiral.networks.network.Network.check_side`: the sides that a network accepts
# - `minispiral.nn.ConvNormReLU`: a layer, the fused block of chapter 3
# - `minispiral.networks.describe.describe`: what `minispiral describe spiral` prints, layer by
#   layer
#
# ## To read on
#
# - O. Ronneberger, P. Fischer and T. Brox, *U-Net: Convolutional Networks for Biomedical Image
#   Segmentation*, MICCAI 2015. The network that is unfolded here, and how to train it on thirty
#   pictures.
# - A. Newell, K. Yang and J. Deng, *Stacked Hourglass Networks for Human Pose Estimation*, ECCV
#   2016: encoder-decoders one after another, all of one depth and each with a loss of its own.
# - G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger, *Densely Connected Convolutional
#   Networks*, CVPR 2017. Each block sees what all before it made: the connections of Spiral-Net.
# - A. Araujo, W. Norris and J. Sim, *Computing Receptive Fields of Convolutional Neural Networks*,
#   Distill, 2019. The rule of `needed` for any network, with drawings.
# - W. Luo, Y. Li, R. Urtasun and R. Zemel, *Understanding the Effective Receptive Field in Deep
#   Convolutional Neural Networks*, NIPS 2016. Why it is small in a stack of convolutions.

# %% [markdown]
# ## Exercises
#
# Write the function into a file `answer.py` and run `minispiral exercise 6.1 answer.py`.
#
# ### Exercise 6.1 ★
#
# Write `parameters(depths, connection)`. It returns how many parameters a Spiral-Net has whose
# modules have these depths, with the channels of Table 1. `depths` is a tuple of numbers from 1 to
# 7 of any length and in any order, `connection` is `"concat"`, `"sum"` or `"none"`. Count the last
# layer too. You may import `ENCODER_CHANNELS` and `DECODER_CHANNELS` from
# `minispiral.networks.table1`, but do not build the network. For `(1, 2, 3, 4, 5, 6, 7)` and
# `"concat"` it must return 41625942.
#
# ### Exercise 6.2 ★
#
# Write `logits(x, modules, weights, bias, connection)`, the wiring of a Spiral-Net for plain NumPy
# arrays. `x` is a picture of shape `(n, h, w, 3)`. `modules` is a list of functions; each takes an
# array `(n, h, w, c)` and returns its map `(n, h, w, 1)`. `weights` is a one-dimensional array, one
# weight for each channel that the last layer sees, and `bias` a number. `connection` is `"concat"`,
# `"sum"` or `"none"`, both for the modules and for the last layer. It returns the logits, of shape
# `(n, h, w, 1)`. Call each module once.
#
# ### Exercise 6.3 ★★
#
# Write `field(p, depths, k)`: the first and last pixel of the *picture* that pixel `p` of the map
# of module `k` can see along one axis, through all modules before it. `depths` are the depths of
# all modules, `k` counts from 1. Return the pair `(first, last)`. `p` is far enough from all edges
# for these not to matter.
#
# ### On paper
#
# **A.** Find by hand, along one axis and far from all edges, which inputs pixels 3 and 4 of the map
# of a module of depth 2 can see.
#
# **B.** Follow the maps from the picture to the logits: how many paths are there in a Spiral-Net of
# seven modules, with `concat`, with `sum` and with `none`? (With `none` the last layer sees the
# last map only.) How many encoders and decoders do the shortest and the longest path pass with
# `concat`, for the order 1-2-3-4-5-6-7 and for 7-6-5-4-3-2-1? Everything that is known of the
# picture must pass through the first module. For a patch of 255, compare how many numbers (pixels
# times channels) there are at the bottom of a first module of depth 1 to 7 with how many there are
# in its map. From which depth on is the bottom the narrower place? What does Table 2 say to that?
#
# **C.** Let $\epsilon = 0$ and $c > 0$. (i) Multiply by $c$ all weights that lead to one channel of
# a layer. (ii) Multiply $\gamma$ and $\beta$ of one channel by $c$, and divide by $c$ all weights
# by which later layers read this channel. Show that neither changes any logit. So each channel with
# batch norm has two parameters more than it needs. How many of the 2434 of module 1 are left, and
# how many of all 41,625,942? Why must $c$ be positive in (ii), and what happens in (i) if it is
# negative?
#
# ### Experiment
#
# Which order of depths would you choose? Measure `detail_left` and `arriving` for orders of your
# own, such as 2-1-3-4-5, and train the most promising one as in chapter 7. Did what you measured at
# the start say anything about the end?
