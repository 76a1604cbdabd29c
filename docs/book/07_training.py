# %% [markdown]
# # 7. Training it
#
# After this chapter you can
#
# - draw batches of random patches, and say why we train on patches instead of photographs;
# - say what one crack pixel in 450 does to accuracy, to cross-entropy and to the pseudo-gradient;
# - write Adam, and say what momentum and the second moment are each good for;
# - train a small Spiral-Net and read its curves;
# - say what a checkpoint must hold for a run to go on as if nothing had happened;
# - find the cracks in a photograph of any size by overlapping tiles, and score them;
# - read the maps of a trained network's modules;
# - tell overfitting from too little training, and say what validation and test sets are for;
# - find out why a network says "no" everywhere;
# - go from photographs of your own to a report of their cracks.
#
# It takes about two hours. You need chapter 3 (batch norm), chapter 5 (Eq. 11) and chapter
# 6 (the network).

# %% [markdown]
# ## The idea
#
# Training repeats four lines: draw a few patches, compute the network's answer, go back through the
# tape, move every weight a little. Everything else in this chapter is about doing these four lines
# *well*: with patches that show enough, with a gradient that does not neglect the cracks, with
# steps of a sensible size, without losing a night's work to a power cut, and with scores that say
# what has been achieved.
#
# We train two small networks. They have the same weights at the start and see the same patches. One
# is trained with cross-entropy, the other with the pseudo-gradient of Eq. 11. Both are far too
# small, and trained for far too short a time, for real work: a run of the paper takes 444,800 <!--
# = 200 * 256 * 278 // 32 --> steps of 32 large patches, we take 250 <!-- = STEPS --> steps of
# 4 <!-- = BATCH --> small ones. They are for watching what happens. What patience gives, we see
# further down, when the weights that come with the library look at the same photographs.

# %%
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from minispiral import ops
from minispiral.data.pairs import find_pairs
from minispiral.data.patches import PatchSampler
from minispiral.data.store import PhotoStore
from minispiral.data.synth import write_dataset
from minispiral.detection.maps import look
from minispiral.detection.metrics import Summary, average_precision, score_photo, summarize
from minispiral.detection.tiling import predict, tile_axis
from minispiral.kernels import layout
from minispiral.losses import LOSSES
from minispiral.networks import Network, SpiralNet
from minispiral.networks.describe import describe
from minispiral.nn import BatchNorm, Parameter
from minispiral.optim import Adam
from minispiral.runs.checkpoint import load, load_network
from minispiral.runs.trained import checkpoint_of
from minispiral.tensor import Tensor, no_grad
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
scratch = tempfile.TemporaryDirectory()  # removed when the program ends
folder = Path(scratch.name)

# %% [markdown]
# ## Photographs
#
# We generate synthetic concrete: photographs with cracks, and with things that look like cracks. A
# dataset is a folder with `images/` and `masks/`. `PhotoStore` decodes it once into a file, so that
# a patch can be cut from any photograph without reading all of it.

# %%
write_dataset(folder / "train", photos=40, size=(159, 159), seed=0)
write_dataset(folder / "unseen", photos=10, size=(159, 159), seed=1)
store = PhotoStore(find_pairs(folder / "train"), scratch=folder)
unseen = PhotoStore(find_pairs(folder / "unseen"), scratch=folder)
print(f"{len(store)} photographs of {store.photo(0).shape[1]} x {store.photo(0).shape[0]} pixels")
print(f"1 pixel in {store.pixels / store.crack_pixels:.0f} is crack")

# %% [markdown]
# In the paper's photographs it is 1 in 450. Larger synthetic ones have fewer, too. A crack
# needs a certain length to be one, so its share is larger in photographs as small as these. That
# makes learning easier, and this chapter quick.

# %% [markdown]
# ### What 1 in 450 means
#
# Take a network that says "no crack" everywhere. Its **accuracy**, the fraction of pixels that it
# gets right, is $1 - 1/450 = 99.8\,\%$ <!-- = 100 * (1 - 1 / 450) -->. It is useless. That is why
# scores are based on the crack pixels: with $TP$ pixels found correctly, $FP$ false alarms and $FN$
# missed,
#
# $$ \begin{aligned}
#    \mathrm{prec} &= \frac{TP}{TP + FP}, \\
#    \mathrm{rec} &= \frac{TP}{TP + FN}, \\
#    \mathrm{F1} &= \frac{2\,TP}{2\,TP + FP + FN} . \end{aligned} $$
#
# The same holds for the gradient. With cross-entropy each pixel pulls at its logit with the force
# $\sigma_i - y_i$, where $y_i$ is 1 on crack and 0 elsewhere. At the start $\sigma_i$ is near one
# half everywhere, and for every pull up there are 450 pulls down. What a network learns first is to
# say "no" everywhere: in the beginning, lowering the bias of the last layer is the quickest gain.
# Once $\sigma$ has come down to 1/450 everywhere, the pulls balance, and only then does it pay to
# ask *where*. The pseudo-gradient weights the two classes so that this happens early (chapter 5).

# %%
y = next(store.mask(i) for i in range(len(store)) if store.mask(i).any())
logits = Tensor(np.zeros((1, *y.shape, 1)), requires_grad=True)
for name in ("cross-entropy", "pseudo-f1"):
    logits.grad = None
    LOSSES[name](logits, y[None, ..., None]).backward()
    assert logits.grad is not None
    pull = logits.grad[0, ..., 0]
    up, down = -pull[y].sum(), pull[~y].sum()
    print(f"{name:14} pull up on crack {up:9.3g}, down elsewhere {down:9.3g}: 1 to {down / up:.1f}")

# %% [markdown]
# ## Patches and batches
#
# A photograph of 20 megapixels does not fit into memory: the tape keeps an image for each layer.
# And one step per photograph would be a waste, since most of its pixels say the same thing. So each
# step takes a **batch** of $n$ patches of $p \times p$ pixels from random places in random
# photographs, each flipped vertically and horizontally with probability one half. Flips are free
# photographs: a crack upside down is a crack.
#
# Values $v$ from 0 to 255 are scaled to $v / 127.5 - 1$, that is, to the range from $-1$ to 1. This
# is the complete sampler. That of the library, `PatchSampler`, returns integers and says what to
# flip; its training step flips and scales the patches, on the CPU or on the GPU:

# %%
PATCH, BATCH = 63, 4


def draw(store: PhotoStore, rng: np.random.Generator) -> tuple[Array, Array]:
    xs, ys = [], []
    for _ in range(BATCH):
        i = int(rng.integers(len(store)))
        h, w = store.mask(i).shape
        top, left = int(rng.integers(h - PATCH + 1)), int(rng.integers(w - PATCH + 1))
        down, right = rng.choice((-1, 1), size=2)
        window = slice(top, top + PATCH), slice(left, left + PATCH)
        xs.append(store.photo(i)[window][::down, ::right])
        ys.append(store.mask(i)[window][::down, ::right])
    return np.stack(xs).astype(np.float32) / 127.5 - 1, np.stack(ys)[..., np.newaxis]


def drawn(sampler: PatchSampler, rng: np.random.Generator) -> tuple[Array, Array]:
    pixels, mask, flips = sampler.draw(rng)
    return layout.flip(pixels, flips), layout.flip(mask, flips)


sampler = PatchSampler(store, PATCH, BATCH)
ours, theirs = draw(store, np.random.default_rng(5)), drawn(sampler, np.random.default_rng(5))
np.testing.assert_allclose(ours[0], layout.scale_pixels(theirs[0]), atol=1e-6)
assert np.array_equal(ours[1], theirs[1])

rng = np.random.default_rng(7)
crack_pixels = [int(label.sum()) for _ in range(200) for label in drawn(sampler, rng)[1]]
without = Counter(count == 0 for count in crack_pixels)[True]
print(f"{without / len(crack_pixels):.0%} of the patches hold no crack pixel at all")

# %%
batch = drawn(sampler, rng)
while np.count_nonzero(batch[1].any(axis=(1, 2, 3))) < 2:
    batch = drawn(sampler, rng)

fig, axes = plt.subplots(1, 4, figsize=(7, 2.1), layout="constrained")
for ax, one, label in zip(axes, *batch, strict=True):
    ax.imshow(one)
    if label.any():
        ax.contour(label[..., 0], [0.5], colors="red", linewidths=1)
    ax.set(xticks=[0, 62], yticks=[], xlabel=f"{int(label.sum())} crack pixels")

# %% [markdown]
# *Figure 7.1. A batch of four patches of 63 x 63 pixels, with their crack pixels outlined in red:
# the first batch drawn here in which at least two patches have any.*

# %% [markdown]
# F1 is a score of a *set* of pixels, and the sums of Eq. 11 run over the whole mini-batch. A batch
# without any crack pixel has no F1: its loss, $-\log \mathrm{F1}$, is infinite. The library then
# takes the gradient of the other pixels alone, which is well defined, and counts such batches. With
# the paper's batches of 32 large patches they hardly ever occur; with ours they do.

# %% [markdown]
# ## From gradient descent to Adam
#
# With the gradient $g$ of a weight, **gradient descent** moves it by $-\alpha g$. The **learning
# rate** $\alpha$ must then fit the size of the gradient, which can differ a hundredfold between the
# parts of a network (Figure 6.4). Picture the loss of two weights as a narrow valley, 50 times as
# steep across as along:
#
# $$ f(x, y) = \tfrac{1}{2}\, (x^2 + 50\, y^2), \qquad g = (x, 50\, y) . $$
#
# A step multiplies $x$ by $1 - \alpha$ and $y$ by $1 - 50 \alpha$. From $\alpha = 2/50$ on, $y$
# shrinks no more and jumps from wall to wall. Below that, $x$ loses less than 4 % in a step. So the
# steep direction sets the learning rate, and the flat one has to wait.
#
# **Momentum** takes a running mean of the gradients in place of the last one:
#
# $$ \begin{aligned} m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, \\
#    w &\leftarrow w - \alpha\, m . \end{aligned} $$
#
# Along the valley all gradients point the same way, and so does their mean. Across it they change
# sign at each step and cancel: if nothing but the sign changes, the mean keeps $(1 - \beta_1) / (1
# + \beta_1)$ of them. What this mends: the steep direction allows a learning rate that is as many
# times larger, 19 times for $\beta_1 = 0.9$ <!-- holds np.abs(walk("momentum", 19 * 2 / 50 - 0.01,
# START, VALLEY, 2000)[-1]).max() < 1 < np.abs(walk("momentum", 19 * 2 / 50 + 0.01, START, VALLEY,
# 2000)[-1]).max() -->. (Without the factor $1 - \beta_1$, which is as common, $m$ is ten times as
# large and $\alpha$ a tenth.) What it costs: past the bottom $m$ still points ahead, and the
# weights roll on like a heavy ball.
#
# The **second moment** is the running mean of the *square* of the gradient. Each weight's gradient
# is divided by its root:
#
# $$ \begin{aligned} v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \\
#    w &\leftarrow w - \alpha\, \frac{g}{\sqrt{v} + \epsilon} . \end{aligned} $$
#
# What this mends: steep and flat weights take steps of the same length, and $\alpha$ is that
# length, whatever the loss is multiplied by. (This alone is *RMSProp*.) What it costs: the steps do
# not become shorter towards the bottom, as those of the gradient do.
#
# **Adam** does both, with these $m$ and $v$:
#
# $$ w \leftarrow w - \alpha\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} $$
#
# $t$ counts the steps from 1. Both means start at 0, so they are too small at first; the divisors
# $1 - \beta^t$ mend that. The paper takes $\alpha = 10^{-4}$ and $\beta_1 = 0.9$;
# $\beta_2 = 0.999$ and $\epsilon = 10^{-8}$ are Adam's usual ones.
#
# **Predict**, before you run it: how long is the first step if the gradient is 1000, and how long
# if it is $10^{-9}$?

# %%


def adam_step(
    w: Array, g: Array, m: Array, v: Array, t: int, lr: float, b1: float, b2: float, eps: float
) -> None:
    """All arrays change in place."""
    m += (1 - b1) * (g - m)
    v += (1 - b2) * (g * g - v)
    w -= lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


rng = np.random.default_rng(1)
w, m, v = np.ones(5), np.zeros(5), np.zeros(5)
weight = Parameter(np.ones(5))
optimiser = Adam([("w", weight)], lr=1e-2)
for t in range(1, 20):
    g = weight.grad = rng.standard_normal(5)
    adam_step(w, g, m, v, t, 1e-2, 0.9, 0.999, 1e-8)
    optimiser.step()
np.testing.assert_allclose(w, weight.data, rtol=1e-12)

for size in (1e3, 1.0, 1e-3, 1e-6, 1e-9):
    w, m, v = np.zeros((3, 1))
    adam_step(w, np.array([size]), m, v, 1, 1e-2, 0.9, 0.999, 1e-8)
    print(f"gradient {size:8.0e}: the first step is {w[0]:.5f}")

# %% [markdown]
# A step is about $\alpha$ long whatever the size of the gradient, and goes where the gradient has
# pointed *steadily*: if $g$ changes sign at every step, $m$ stays small and $\sqrt v$ does not.
# That is also why a constant factor in the loss does not matter, until $\epsilon$ does: in the last
# line the gradient is a tenth of $\epsilon$, and the step an eleventh of the others <!-- holds 1 /
# 11.1 < -w[0] / 1e-2 < 1 / 10.9 -->. Eq. 11 is therefore not divided by the number of pixels, which
# is two million <!-- holds 2.0e6 < 32 * 255**2 < 2.1e6 --> in the paper's batches. (So we read the
# paper, which does not say it: chapter 5.)
#
# Now gradient descent, momentum and Adam go down the valley, each from the same place and with a
# learning rate that suits it there; then with a loss that is ten times as large; and then in the
# valley turned by 45 degrees, so that it runs along neither weight. We count the steps until $f$
# stays below a hundredth of what it was.
#
# **Predict**, before you run it: which of the three notice that the loss is larger, and which that
# the valley is turned?

# %%
ALPHAS = {"gradient descent": 0.036, "momentum": 0.36, "Adam": 0.3}
START, VALLEY = np.array([-10.0, 1.0]), np.diag([1.0, 50.0])
TURN = np.array([[1, -1], [1, 1]]) / np.sqrt(2)


def walk(rule: str, alpha: float, start: Array, valley: Array, steps: int = 70) -> Array:
    """The places ``(steps + 1, 2)`` on the way down ``w @ valley @ w / 2``."""
    w, m, v = start.copy(), np.zeros(2), np.zeros(2)
    places = [start]
    for t in range(1, steps + 1):
        g = valley @ w
        if rule == "Adam":
            adam_step(w, g, m, v, t, alpha, 0.9, 0.999, 1e-8)
        elif rule == "momentum":
            m += (1 - 0.9) * (g - m)
            w -= alpha * m
        else:
            w -= alpha * g
        places.append(w.copy())
    return np.array(places)


def needed(places: Array, valley: Array) -> int:
    """Steps until the loss stays below a hundredth of what it was."""
    loss = np.sum(places @ valley * places, axis=1) / 2
    return int(np.flatnonzero(loss > loss[0] / 100)[-1]) + 1


paths = {rule: walk(rule, alpha, START, VALLEY) for rule, alpha in ALPHAS.items()}
took: dict[str, list[int]] = {}
print(f"{'':18}{'valley':>8}{'10 f':>8}{'turned':>8}")
for rule, alpha in ALPHAS.items():
    took[rule] = [
        needed(walk(rule, alpha, start, valley), valley)
        for start, valley in (
            (START, VALLEY),
            (START, 10 * VALLEY),
            (TURN @ START, TURN @ VALLEY @ TURN.T),
        )
    ]
    print(f"{rule:18}" + "".join(f"{n if n <= 70 else 'never':>8}" for n in took[rule]))

# %%
fig, axes = plt.subplots(3, 1, figsize=(7, 3.9), sharex=True, layout="constrained")
sides = np.meshgrid(np.linspace(-11, 5, 161), np.linspace(-1.5, 1.5, 61))
heights = (sides[0] ** 2 + 50 * sides[1] ** 2) / 2
for ax, (rule, places) in zip(axes, paths.items(), strict=True):
    ax.contour(*sides, heights, np.linspace(1, 10, 7) ** 2, colors="0.8", linewidths=0.8)
    ax.plot(*places.T, "o-", ms=3, lw=1, color="tab:blue")
    ax.plot(0, 0, "x", color="tab:red")
    ax.set(aspect="equal", xlim=(-11, 5), ylim=(-1.5, 1.5), ylabel="y")
    ax.set_title(f"{rule}, $\\alpha$ = {ALPHAS[rule]}", fontsize=10, loc="left")
axes[-1].set_xlabel("x")

# %% [markdown]
# *Figure 7.2. Down a narrow valley, 70 steps with each rule; grey lines are lines of equal loss,
# the cross is the minimum. Gradient descent jumps across and creeps along, momentum rolls past the
# end and comes back, Adam goes along both weights at the same speed.*

# %% [markdown]
# Gradient descent needs 58 <!-- = took["gradient descent"][0] --> steps, momentum 40 <!-- =
# took["momentum"][0] -->, Adam 36 <!-- = took["Adam"][0] -->. With smaller differences of steepness
# they would lie closer together. The other columns say more. Where the loss is ten times as large
# the first two diverge <!-- holds min(took[rule][1] for rule in ("gradient descent", "momentum")) >
# 70 -->, and nothing changes for Adam <!-- holds took["Adam"][1] == took["Adam"][0] -->. In the
# turned valley nothing changes for the first two <!-- holds all(took[rule][2] == took[rule][0] for
# rule in ("gradient descent", "momentum")) -->, and Adam takes 65 <!-- = took["Adam"][2] -->: both
# weights now share the steep direction, and no step length for each weight mends that. Adam need
# not be the fastest way down; it is the one whose learning rate one need not choose anew for each
# loss and each layer.

# %% [markdown]
# ## The loop
#
# Now the four lines. For the curves, we record after each step the counts $TP$, $FP$ and $FN$ on
# the batch just seen, at probability one half, that is at logit 0.

# %%
STEPS, LR = 250, 1e-2


def fit(loss: str, steps: int = STEPS) -> tuple[SpiralNet, Array]:
    """A trained network, and ``(steps, 3)`` counts TP, FP and FN."""
    network = SpiralNet((1, 2, 3, 4), width=1 / 8, rng=np.random.default_rng(0))
    optimiser = Adam(network.named_parameters(), lr=LR)
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(steps):
        x, mask = drawn(sampler, rng)
        logits = network(Tensor(layout.scale_pixels(x)))
        optimiser.zero_grad()
        LOSSES[loss](logits, mask).backward()
        optimiser.step()
        found = logits.data >= 0
        pairs = ((found, mask), (found, ~mask), (~found, mask))
        counts.append([np.count_nonzero(a & b) for a, b in pairs])
    return network, np.array(counts)


NAMES = {"cross-entropy": "cross-entropy, Eq. 10", "pseudo-f1": "pseudo-gradient, Eq. 11"}
trained = {loss: fit(loss) for loss in NAMES}

# %% [markdown]
# A batch of four small patches holds few crack pixels, or none, so its F1 fluctuates wildly. We sum
# the counts over the last 50 steps:

# %%


def smooth(counts: Array, over: int = 50) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 of the last ``over`` steps at each step."""
    sums = np.cumsum(np.vstack([np.zeros((1, 3)), counts]), axis=0)
    tp, fp, fn = (sums[over:] - sums[:-over]).T
    return tp / np.maximum(tp + fp, 1), tp / np.maximum(tp + fn, 1), 2 * tp / (2 * tp + fp + fn)


fig, axes = plt.subplots(1, 3, figsize=(7, 2.9), sharey=True, layout="constrained")
for loss, (_, counts) in trained.items():
    for ax, values in zip(axes, smooth(counts), strict=True):
        ax.plot(np.arange(50, STEPS + 1), values, label=NAMES[loss])
for ax, name in zip(axes, ("precision", "recall", "F1"), strict=True):
    ax.set(title=name, xlabel="step", ylim=(0, 0.7))
axes[0].set_ylabel("on the training patches")
fig.legend(*axes[0].get_legend_handles_labels(), ncols=2, loc="outside upper center")

# %% [markdown]
# *Figure 7.3. Precision, recall and F1 at probability one half on the training patches, over the
# last 50 steps.*

# %%
print(f"{'last 50 steps':24}{'precision':>10}{'recall':>8}{'F1':>6}")
for loss, (_, counts) in trained.items():
    p, r, f = (values[-1] for values in smooth(counts))
    print(f"{NAMES[loss]:24}{p:10.2f}{r:8.2f}{f:6.2f}")

# %% [markdown]
# Within a few steps cross-entropy has taught its network to say "no" <!-- holds
# smooth(trained["cross-entropy"][1])[1][100:].max() < 0.05 -->, and there it stays for as long as
# we watch. The network of the pseudo-gradient loses its cracks for a while and then finds more and
# more of them <!-- holds smooth(trained["pseudo-f1"][1])[1][-1] > 0.2 -->. Its precision is
# low <!-- holds smooth(trained["pseudo-f1"][1])[0][-1] < 0.3 -->: most of what it calls crack is
# something else, and it is only beginning to learn the difference.
#
# **How to read curves.** Look at F1, not at the loss: cross-entropy falls steeply in the first
# steps while the network learns only to say "no". Compare with photographs that are not trained on;
# the library does so from time to time (`--val`) and keeps the checkpoint that scored best there. A
# curve that oscillates calls for a smaller learning rate; one that does not move, for a larger one
# or more steps.

# %% [markdown]
# ## From batches to photographs: running statistics
#
# In training, batch norm takes mean and variance from the batch (chapter 3). The answer for a pixel
# then depends on what else is in the batch. For a photograph we want one answer. So during training
# batch norm also keeps **running statistics**: after every batch of $m$ values per channel with
# mean $\mu$ and (biased) variance $v$ they move a tenth of the way towards these,
#
# $$ \bar\mu \leftarrow 0.9\, \bar\mu + 0.1\, \mu, \qquad
#    \bar v \leftarrow 0.9\, \bar v + 0.1\, \frac{m}{m - 1}\, v, $$
#
# from $\bar\mu = 0$ and $\bar v = 1$. The factor makes the sample variance an unbiased estimate of
# the variance of all values. In evaluation the running statistics replace those of the batch.

# %%
norm = BatchNorm(3)
rng = np.random.default_rng(2)
mean, var = np.zeros(3), np.ones(3)
for _ in range(30):
    values = rng.normal([1, 2, 3], [1, 2, 4], (50, 3))
    norm(Tensor(values.astype(np.float32)))
    mean = 0.9 * mean + 0.1 * values.mean(axis=0)
    var = 0.9 * var + 0.1 * values.var(axis=0) * 50 / 49
np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5)
np.testing.assert_allclose(norm.running_var, var, rtol=1e-5)
print("after 30 batches, mean", norm.running_mean.round(3), "variance", norm.running_var.round(3))

# %% [markdown]
# This has a price. The statistics are those of *past* networks, a mixture in which the last ten
# steps make up 65 % <!-- = 100 * (1 - 0.9**10) --> (chapter 3), and of small batches. If the
# weights move fast, the statistics lag behind. Let us see how much the answers of the same network
# differ on the same patches:

# %%
x, mask = drawn(sampler, np.random.default_rng(4))
gaps = {}
print("differences of the probabilities")
for loss, (network, _) in trained.items():
    with no_grad():
        # A copy of the running statistics, since a forward pass in training mode updates them.
        kept = {name: array.copy() for name, array in network.state().items()}
        by_batch = ops.sigmoid(network.train()(Tensor(layout.scale_pixels(x)))).data
        network.load_state(kept)
        by_running = ops.sigmoid(network.eval()(Tensor(layout.scale_pixels(x)))).data
    network.train()
    gaps[loss] = np.abs(by_batch - by_running)
    print(f"{NAMES[loss]:24} on average {gaps[loss].mean():.3f}, at most {gaps[loss].max():.2f}")

# %% [markdown]
# In the second network they differ by more than a third on average <!-- holds
# gaps["pseudo-f1"].mean() > 1 / 3 -->. Its weights still take steps of full length, so its
# statistics are those of networks that no longer exist. Three things help: a learning rate that
# falls towards the end, so that the statistics catch up (`--schedule cosine`); an average of the
# weights, which moves slowly, and of the statistics with it (`--average`); or statistics that are
# taken anew when training is over, with the weights held still. We do the last, and keep the old
# ones for comparison:

# %%
stale = {}
for loss, (network, _) in trained.items():
    stale[loss] = {name: array.copy() for name, array in network.state().items()}
    rng = np.random.default_rng(6)
    with no_grad():
        for _ in range(30):
            x, mask = drawn(sampler, rng)
            network(Tensor(layout.scale_pixels(x)))  # updates the running statistics alone
assert all(
    np.array_equal(stale["pseudo-f1"][name], p.data) for name, p in network.named_parameters()
)

# %% [markdown]
# ## Photographs of any size: overlapping tiles
#
# A photograph of 20 megapixels goes through the network in **tiles**. Two things must be avoided.
#
# *A shifted grid.* The strided convolutions sample every second pixel, every second of these, and
# so on: depth 4 samples every 16th. A tile that begins at pixel 7 is sampled at other places than
# one that begins at pixel 0, and gives slightly different answers. So tiles begin at multiples of
# $2^d$.
#
# *Seams.* Near the edge of a tile the network sees less of the surroundings. So tiles overlap, by
# 63 pixels or more. In the overlap the outer quarter of a tile is ignored; then its weight rises to
# 1 while that of its neighbour falls to 0. The weights of all tiles sum to one at each pixel.
# Beyond the edge of the photograph, tiles see its mirror image.

# %%
axis = tile_axis(383, unit=16, side=191)
weights = np.zeros((axis.count, axis.length), np.float32)
for k, row in enumerate(weights):
    inside, in_tile = axis.inside(k)
    row[inside] = axis.weight(k)[in_tile]
assert (weights.sum(axis=0) == 1).all()

fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for k, row in enumerate(weights):
    pixels = np.arange(axis.length)[axis.inside(k)[0]]
    ax.plot(pixels, row[pixels], label=f"tile {k + 1}, from pixel {axis.first + k * axis.step}")
ax.set(
    xlabel="pixel of the photograph, along one axis",
    ylabel="weight of the tile",
    ylim=(-0.05, 1.05),
)
ax.legend(fontsize=9)

# %% [markdown]
# *Figure 7.4. The weights of the tiles along one axis of 383 pixels, for tiles of 191 pixels. They
# sum to exactly one.*

# %%
network = trained["pseudo-f1"][0]
whole = predict(network, unseen.photo(2))  # these photographs fit into a single tile
tiled = predict(network, unseen.photo(2), side=127)
gap = np.abs(whole - tiled)
print(f"one tile against many: {gap.mean():.1e} on average, at most {gap.max():.1e}")

# %% [markdown]
# The receptive field of this network's last module reaches further than the outer quarter of the
# overlap (chapter 6), so the two do not agree to the last digit.

# %% [markdown]
# ## Scores
#
# Scores are computed for each photograph, pixel by pixel, at probability one half, and then
# averaged over the photographs that have a crack. **Average precision** needs no threshold. Lower
# the threshold through all distinct scores $t$; let $P_t$ and $R_t$ be precision and recall of
# "score at least $t$". Then
#
# $$ \mathrm{AP} = \sum_t (R_t - R_{t^+})\, P_t , $$
#
# where $t^+$ is the threshold before $t$, and recall is 0 before the first. AP says whether crack
# pixels have higher scores than others, wherever the threshold of one half may lie.

# %%
scores = np.array([0.9, 0.8, 0.8, 0.3, 0.1])
labels = np.array([True, True, False, True, False])
by_hand = (1 / 3) * (1 / 1) + (2 / 3 - 1 / 3) * (2 / 3) + (1 - 2 / 3) * (3 / 4)  # at 0.9, 0.8, 0.3
print(f"AP by hand {by_hand:.6f}, by the library {average_precision(scores, labels):.6f}")
assert abs(by_hand - average_precision(scores, labels)) < 1e-12


# %%
def maps_of(network: Network) -> list[Array]:
    return [predict(network, unseen.photo(i)) for i in range(len(unseen))]


def scores_of(maps: list[Array], tolerance: int = 0) -> Summary:
    scored = [
        score_photo(pair.name, one, unseen.mask(i), tolerance=tolerance)
        for i, (pair, one) in enumerate(zip(unseen.pairs, maps, strict=True))
    ]
    return summarize(scored)


def show(name: str, maps: list[Array]) -> Summary:
    """Print a row of the table."""
    exact, tolerant = scores_of(maps), scores_of(maps, tolerance=2)
    print(
        f"{name:24}{exact.average_precision:6.3f}{exact.precision:11.3f}"
        f"{exact.recall:8.3f}{exact.f1:7.3f}{tolerant.f1:10.3f}"
    )
    return exact


HEADING = f"{'':24}{'AP':>6}{'precision':>11}{'recall':>8}{'F1':>7}{'F1, 2 px':>10}"
maps, results = {}, {}
print(HEADING)
for loss, (network, _) in trained.items():
    anew = {name: array.copy() for name, array in network.state().items()}
    network.load_state(stale[loss])
    results[loss, "as trained"] = show(NAMES[loss], maps_of(network))
    network.load_state(anew)
    maps[loss] = maps_of(network)
    results[loss, "anew"] = show("  its statistics anew", maps[loss])

# %% [markdown]
# Cross-entropy's network finds nothing at one half <!-- holds results["cross-entropy", "anew"].f1
# == 0 -->, and yet its AP is above chance level <!-- holds results["cross-entropy",
# "anew"].average_precision > 1.5 * sum(unseen.mask(i).mean() for i in range(10)) / 10 -->, which is
# the share of crack pixels. So its scores are beginning to be in the right order, but all lie below
# one half. F1 shows this kind of failure, AP does not. Longer training gets cross-entropy out of
# it, sooner with a larger learning rate. The results page has a case on synthetic photographs where
# it then even overtakes Eq. 11. The pseudo-gradient needs no such patience, which is the point of
# it.
#
# The pseudo-gradient's network, as it was trained, calls almost everything crack: nearly all crack
# is found <!-- holds results["pseudo-f1", "as trained"].recall > 0.8 -->, and almost nothing of
# what it calls crack is one <!-- holds results["pseudo-f1", "as trained"].precision < 0.02 -->. The
# weights are not to blame: with its statistics taken anew F1 is several times as high <!-- holds
# results["pseudo-f1", "anew"].f1 > 4 * results["pseudo-f1", "as trained"].f1 -->. Training patches
# had not shown it, since there batch norm uses the moments of the batch.
#
# The last column counts a pixel as right within 2 pixels of a crack. A label drawn by hand is
# seldom exact to the pixel, so much of what counts as wrong lies right next to the crack.
#
# All these scores are low. Is it the method, or the few seconds? `minispiral demo` trains the same
# two for some minutes. Here we ask a network that was trained for longer.

# %% [markdown]
# ### What patience gives
#
# The library comes with weights, called `pretrained` wherever a run is asked for. They are those of
# a Spiral-Net with six modules and a quarter of the paper's channels, trained with Eq. 11.

# %%
shipped = load_network("pretrained")
maps["shipped"] = maps_of(shipped)
print(HEADING)
results["shipped", "anew"] = show("shipped", maps["shipped"])
both = [results[name, "anew"].photos for name in ("pseudo-f1", "shipped")]
for i, (small, large) in enumerate(zip(*both, strict=True)):
    if small.f1 is not None and large.f1 is not None:
        print(f"photograph {i}: F1 {small.f1:.2f} after 250 steps, {large.f1:.2f} shipped")

# %%
SHOWN = (8, 9)
fig, axes = plt.subplots(len(SHOWN), 4, figsize=(7, 3.9), layout="constrained")
for row, i in zip(axes, SHOWN, strict=True):
    row[0].imshow(unseen.photo(i))
    row[1].imshow(unseen.mask(i), cmap="gray")
    row[2].imshow(maps["pseudo-f1"][i], cmap="gray", vmin=0, vmax=1)
    row[3].imshow(maps["shipped"][i], cmap="gray", vmin=0, vmax=1)
for ax, title in zip(axes[0], ("photograph", "truth", "250 steps", "shipped"), strict=True):
    ax.set_title(title)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# *Figure 7.5. Two unseen photographs, the truth, and the probability of crack after 250 steps with
# the pseudo-gradient and by the weights that come with the library.*
#
# In the upper photograph the small network takes the joint and the holes for cracks, and hardly
# sees the crack. The shipped one finds it, and the joint is faint. The crack of the lower one
# neither of them finds, and perhaps you would not either. Of 7 <!-- =
# results["shipped", "anew"].photos_with_crack --> cracks the shipped network finds five <!-- holds
# sum((photo.f1 or 0) > 0.3 for photo in results["shipped", "anew"].photos) == 5 --> at least in
# part. What did that take?

# %%
checkpoint = load(checkpoint_of("pretrained"))
config = checkpoint.config
ours, theirs = (
    describe(depths=(1, 2, 3, 4), width=1 / 8, side=PATCH),
    describe(depths=config["depths"], width=config["width"], side=config["patch"]),
)
patches = STEPS * BATCH, checkpoint.step * config["batch"]
pixels = patches[0] * PATCH**2, patches[1] * config["patch"] ** 2
work = patches[0] * ours.macs, patches[1] * theirs.macs
for name, (here, there) in {
    "parameters": (ours.parameters, theirs.parameters),
    "patches seen": patches,
    "pixels seen": pixels,
    "MACs, forward": work,
}.items():
    print(f"{name:14} {here:17,} {there:21,}   {there / here:6.0f} times")

# %% [markdown]
# It has seen 64 <!-- = patches[1] / patches[0] --> times as many patches, 260 <!-- = pixels[1] /
# pixels[0] --> times as many pixels, and cost two thousand <!-- holds 1900 < work[1] / work[0] <
# 2100 --> times the arithmetic: half an hour on two cores instead of a few seconds on one. Its
# learning rate fell along half a cosine, and its weights and statistics are averages, so that none
# of what went wrong above goes wrong there.
#
# Two things must be said with it. Its photographs are of **another kind** than ours: 600 of `synth
# --kind varied`, with asphalt, plaster and wide cracks among them, where ours show board-marked
# concrete with hairlines alone. So the comparison is not of one training with a longer one; here
# the shipped network is a stranger, as it would be on your wall. And synthetic photographs are no
# walls. [Its page](../pretrained.md) says what it finds on real ones, and where it fails.

# %% [markdown]
# ## What each network sees
#
# Back to ours. `look` returns, for a photograph or a part of one, the map of each module and its
# weight in the last layer. Black is 0, white is the 99.9th percentile.

# %%
NUMBER = 4
looks = {loss: look(network.eval(), unseen.photo(NUMBER)) for loss, (network, _) in trained.items()}

fig, axes = plt.subplots(2, 6, figsize=(7, 2.9), layout="constrained")
for row, (loss, (network, _)) in zip(axes, trained.items(), strict=True):
    seen = looks[loss]
    row[0].imshow(seen.photo)
    row[0].contour(unseen.mask(NUMBER), [0.5], colors="red", linewidths=0.7)
    row[0].set_ylabel(loss)
    for k, (ax, stage) in enumerate(zip(row[1:], seen.maps, strict=False), start=1):
        ax.imshow(stage.values, cmap="gray", vmin=0, vmax=np.percentile(stage.values, 99.9))
        ax.set_title(f"{k} ({network.mix.w.data[0, 0, k - 1, 0]:+.2f})", fontsize=9)
    row[5].imshow(seen.probability, cmap="gray", vmin=0, vmax=1)
    row[5].set_title("probability", fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# *Figure 7.6. An unseen photograph of 159 x 159 pixels with its crack outlined; the maps of modules
# 1 to 4 with their weights; the probability of crack. Top: trained with cross-entropy. Bottom: with
# the pseudo-gradient.*

# %% [markdown]
# The maps must be read together with their weights. A module with a negative weight says where
# there is *no* crack: bright means no. One with a positive weight says where there may be one.
#
# Module 1 sees 5 x 5 pixels at most and acts much like a filter: its map is close to the
# photograph. Its weight is negative, so it votes against bright concrete, but not against what is
# dark. In the lower row module 2 lights up along the crack and module 3 around it. But both also
# light up at the holes in the concrete, which are just as dark: those are the false alarms. Telling
# a hole from a crack takes a wider view than detecting darkness, and more training. In the upper
# row hardly any of that has begun: modules 2 and 3 stay almost black, and all logits low.
#
# The fine checkerboard comes from the transposed convolutions. Along each axis an even pixel has
# two sources and an odd one a single source (chapter 6), and the weights have not yet learned to
# even that out.

# %% [markdown]
# ## Overfitting, and who may choose
#
# A network can get its training photographs right in two ways: by learning what a crack is, or by
# learning these photographs by heart. The second is called **overfitting**. On the training
# photographs alone the two look the same. Let us make it happen: a smaller network is trained on
# only two photographs, and another one like it on all forty. To be quick, half of the patches are
# drawn around a crack pixel (`--crack-share 0.5`), and the learning rate falls along half a cosine
# (`--schedule cosine`). Every 20 steps both are scored on whole photographs, those that they learn
# from and ten that they do not: the **validation set**.
#
# **Predict**, before you run it: which of the two will score higher on its own photographs, and
# which on the others?

# %%
EVERY = 20


def f1_of(network: Network, store: PhotoStore) -> Array:
    """F1 at one half of those of the first ten photographs that have a crack."""
    scores = []
    for i in range(min(len(store), 10)):
        mask = store.mask(i)
        if mask.any():
            found = predict(network, store.photo(i)) >= 0.5
            scores.append(2 * np.count_nonzero(found & mask) / (found.sum() + mask.sum()))
    return np.array(scores)


def fit_on(store: PhotoStore, steps: int = 240) -> tuple[Network, Array, Array]:
    """The network of the best validation; F1 on its own photographs, and F1 of each unseen one."""
    network = SpiralNet((1, 2, 3), width=1 / 8, rng=np.random.default_rng(0))
    optimiser = Adam(network.named_parameters(), lr=LR)
    sampler = PatchSampler(store, PATCH, BATCH, crack_share=0.5)
    rng = np.random.default_rng(1)
    own, validated, best = [], [], {}
    for step in range(1, steps + 1):
        optimiser.lr = LR * (1 + np.cos(np.pi * step / steps)) / 2
        x, mask = drawn(sampler, rng)
        optimiser.zero_grad()
        LOSSES["pseudo-f1"](network(Tensor(layout.scale_pixels(x))), mask).backward()
        optimiser.step()
        if step % EVERY == 0:
            own.append(f1_of(network, store).mean())
            validated.append(f1_of(network, unseen))
            if validated[-1].mean() >= max(scores.mean() for scores in validated):
                best = {name: array.copy() for name, array in network.state().items()}
    network.load_state(best)
    return network, np.array(own), np.array(validated)


two = PhotoStore([store.pairs[i] for i in (6, 12)], scratch=folder)
fitted = {"2 photographs": fit_on(two), "40 photographs": fit_on(store)}

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True, layout="constrained")
for ax, (name, (_, own, validated)) in zip(axes, fitted.items(), strict=True):
    steps, curve = EVERY * np.arange(1, len(own) + 1), validated.mean(axis=1)
    ax.plot(steps, own, label="on its own photographs")
    ax.plot(steps, curve, label="on the validation set")
    ax.plot(steps[curve.argmax()], curve.max(), "C1o", label="kept as best")
    ax.set(title=f"trained on {name}", xlabel="step", ylim=(0, 0.65))
axes[0].set_ylabel("F1 at one half")
fig.legend(*axes[0].get_legend_handles_labels(), ncols=3, fontsize=9, loc="outside upper center")

# %% [markdown]
# *Figure 7.7. F1 of a network trained on two photographs and of one trained on forty, on the
# photographs that they learn from (the first ten of the forty) and on ten others.*
#
# On its own two photographs the first network soon scores several times as high as on any others
# <!-- holds fitted["2 photographs"][1][-3:].min() > 3 * fitted["2
# photographs"][2].mean(axis=1).max() -->: it knows these two by heart. The score on the others
# stops rising early. With 1,000 steps (`fit_on(two, 1000)`, half a minute) it is 0.82 on its own
# photographs and 0.18 on the others. The second network is worse on what it has seen <!-- holds
# fitted["40 photographs"][1].max() < 0.5 * fitted["2 photographs"][1].max() -->, and that is no
# fault: forty photographs are harder to learn by heart, so that it pays to learn what a crack is.
#
# **Choosing by validation.** The curves go up and down, and the last network need not be the best.
# `fit_on` keeps a copy of the one with the highest validation score. So does the library: `train
# --val` scores after each epoch and writes `best.safetensors` whenever F1 is higher than before,
# and `evaluate` and `detect` take that file. **Early stopping** is the same idea used to save time:
# stop once the score has not risen for a while. The library does not stop by itself, since with a
# learning rate that falls the best networks come last; Ctrl-C stops it, with a checkpoint.
#
# **Scoring once.** The validation score of the chosen network is too good, since it was chosen for
# it. So there is a third set, the **test set**, which chooses nothing, and is scored once, when all
# is chosen:

# %%
write_dataset(folder / "test", photos=10, size=(159, 159), seed=2)
test = PhotoStore(find_pairs(folder / "test"), scratch=folder)
tested = {name: f1_of(network, test).mean() for name, (network, *_) in fitted.items()}
print(f"{'F1 of the best':18}{'own':>6}{'validation':>12}{'test':>7}")
for name, (_, own, validated) in fitted.items():
    best = validated.mean(axis=1).argmax()
    print(f"{name:18}{own[best]:6.2f}{validated[best].mean():12.2f}{tested[name]:7.2f}")

# %% [markdown]
# The test confirms what the first network is worth: a fraction of its score on its own photographs
# <!-- holds tested["2 photographs"] < 0.35 * fitted["2 photographs"][1].max() -->. The second does
# about as well on the test photographs as on those it has learnt from <!-- holds
# tested["40 photographs"] > 0.8 * fitted["40 photographs"][1].max() -->, so it does not overfit.
# Its lower validation score has another reason: the validation photographs are harder, by chance.
# With so few photographs two sets can differ as much as that <!-- holds tested["40 photographs"] >
# 1.4 * fitted["40 photographs"][2].mean(axis=1).max() -->.
#
# How much too good is the score of the chosen one? Divide the 7 <!-- =
# fitted["2 photographs"][2].shape[1] --> validation photographs that have a crack into three and
# four, in all ways. Choose the best of the 12 <!-- = len(fitted["2 photographs"][2]) --> networks
# by one part, and compare its scores on both:

# %%


def luck(validated: Array) -> float:
    """F1 on the part that chose, minus that on the other, averaged over all ways to divide."""
    photos = range(validated.shape[1])
    differences = []
    for size in (len(photos) // 2, len(photos) - len(photos) // 2):
        for part in combinations(photos, size):
            here = validated[:, part].mean(axis=1)
            there = validated[:, [i for i in photos if i not in part]].mean(axis=1)
            differences.append((here - there)[here.argmax()])
    return float(np.mean(differences))


for name, (_, _, validated) in fitted.items():
    print(f"{name:16} chosen by its score, it is {luck(validated):.3f} too high")

# %% [markdown]
# It is never negative <!-- holds all(luck(validated) >= 0 for _, _, validated in fitted.values())
# -->, and here is why. Let $a$ be the network that is best on part $A$, $b$ the one that is best on
# part $B$, and $A_b$ the score of $b$ on $A$. Choosing by $A$ and choosing by $B$ together give
#
# $$ \begin{aligned} &(A_a - B_a) + (B_b - A_b) \\
#    &\quad = (A_a - A_b) + (B_b - B_a) , \end{aligned} $$
#
# and no bracket on the right is negative. Choose among more networks, learning rates or thresholds,
# and it grows. Each look at the test set that changes your mind makes it a validation set, too.

# %% [markdown]
# ## Resuming as if nothing had happened
#
# Training takes days, and within days the power may fail. A **checkpoint** is what must be saved so
# that a run resumed from it ends with *the same bits* as one that never stopped. What is that?
# Everything that the next step depends on:
#
# - the weights, and the running statistics;
# - Adam's $m$ and $v$, and its $t$;
# - the state of the random generator, or the next patches would differ;
# - the step, and the best validation score so far.
#
# `minispiral train` saves all of it in one file, which it writes under a temporary name and then
# renames: there is never half a file under the final name. Let us try it: eight steps in one go,
# compared with five steps, a restart from the file, and three more.

# %%


def run_of(steps: int, name: str, resume: bool = False) -> dict[str, Array]:
    config = TrainConfig(
        data=folder / "train", depths=(1, 2), width=1 / 16, patch=63, batch=2, steps=steps, seed=3
    )
    train(config, folder / name, resume=resume)
    return load(folder / name / "last.safetensors").tensors


straight = run_of(8, "straight")
run_of(5, "broken")
resumed = run_of(8, "broken", resume=True)
assert straight.keys() == resumed.keys()
assert all(np.array_equal(straight[name], resumed[name]) for name in straight)
kinds = Counter(name.split(".")[0] for name in straight)
print(f"{sum(kinds.values())} arrays ({dict(kinds)}) are equal to the last bit")

# %% [markdown]
# And what if something were forgotten? Here are the same three steps without Adam's state: the
# weights are those of the checkpoint and the patches are the same, but Adam starts afresh.

# %%


def go_on(path: Path, with_adam: bool) -> Array:
    checkpoint = load(path)
    network = SpiralNet((1, 2), width=1 / 16, rng=np.random.default_rng(0))
    network.load_state(checkpoint.part("network"))
    optimiser = Adam(network.named_parameters(), lr=checkpoint.config["lr"])
    if with_adam:
        optimiser.load_state(checkpoint.part("adam"))
    rng = np.random.default_rng()
    rng.bit_generator.state = checkpoint.random_state
    small = PatchSampler(store, patch=63, batch=2)
    for _ in range(3):
        x, mask = drawn(small, rng)
        optimiser.zero_grad()
        LOSSES["pseudo-f1"](network(Tensor(layout.scale_pixels(x))), mask).backward()
        optimiser.step()
    return network.stages[0].encoder[0].conv.w.data


run_of(5, "again")
for with_adam in (True, False):
    found = go_on(folder / "again" / "last.safetensors", with_adam)
    gap = np.abs(found - straight["network.stages.0.encoder.0.conv.w"]).max()
    state = "with" if with_adam else "without"
    print(f"{state:7} Adam's state: the weights differ by at most {gap:.1e}")

# %% [markdown]
# The same bits also require a step that always computes the same: sums in a fixed order whatever
# the number of threads (chapters 8 and 9 come back to this), and no clock in the loop.
#
# What is simplified here? The networks are tiny, the photographs small and synthetic, the training
# short, and there is only one seed. [Results](../results.md) has longer runs, on real photographs
# too.

# %% [markdown]
# ## My network says "no" everywhere
#
# This will happen to you. The causes, the frequent and cheap ones first, each with the line that
# tells; RUN is the folder of your run, `train` and `val` are your datasets.
#
# 1. **Masks that are not read as you think**: grey instead of black and white, inverted, empty.
#    `minispiral check train --val val --out check.html` names them. Look through the page.
# 2. **Masks that lie beside their cracks**: photographs turned by their EXIF data, made smaller or
#    cropped. The same line warns of that, and says which move would put it right.
# 3. **Hardly any crack.** `check` and `train` print the share; 0.2 % is usual. `train` ends with a
#    line such as "58 of 240 batches held no crack pixel". If it is most of them, take a larger
#    `--batch` or `--patch`, or `--crack-share 0.3`.
# 4. **The loss.** `RUN/config.json` names it. Cross-entropy says "no" first, as we saw.
# 5. **Only the threshold.** `minispiral evaluate RUN val` prints AP, and *ODS*, which is the best
#    F1 at any one threshold, with that threshold. If ODS is well above F1, the network knows more
#    than it shows at one half: `minispiral evaluate RUN val --threshold best`.
# 6. **The learning rate.** Look at the loss in `RUN/curves.png`. If it jumps as much as it falls,
#    train anew with a third of `--lr`; if it hardly moves, with three times as much. Measure how
#    far a step moves the weights, over their size (below): about $10^{-3}$ is right, by a rule of
#    thumb of Stanford's course CS231n.
# 7. **Too few steps.** If validation F1 still rises at the end of `RUN/curves.png`, go on:
#    `minispiral train --out RUN --resume --steps 3000`. (With `--schedule cosine` the number of
#    steps is fixed: train anew, with `--init RUN` to begin from the old weights.)
# 8. **Running statistics.** `f1` in `RUN/metrics.csv` is on training patches, with the moments of
#    the batch. `minispiral evaluate RUN train` scores *the same* photographs with running
#    statistics. (The first is computed from probabilities, so only a large difference counts.) If
#    the second alone is bad, train with `--schedule cosine` or `--average`.
# 9. **Overfitting.** `minispiral evaluate RUN train` is good and `minispiral evaluate RUN val` is
#    bad: more photographs, `--augment`, a smaller `--width`, or `--init pretrained`.
# 10. **Other photographs.** `val` is good and your new photographs are not: another distance,
#     camera or light. `minispiral inspect RUN PHOTO.jpg` shows what each module sees in one. Label
#     a few of them.
#
# If none of it helps, or before you begin, ask for less: **overfit one batch first**. Copy one
# photograph and its mask into a dataset of its own, and train on that alone. A network that cannot
# learn one photograph by heart, as ours did two, has a mask or a setting against it, and no lack of
# photographs. (One that can has learnt the mask that it was given, be it right or wrong.)
#
# Here is this chapter's network with the batch of Figure 7.1 and nothing else, for sixty steps. The
# learning rate is ours, and a hundredth of it. Beside F1 stands the **update ratio** of point 6.
# For the weights $w$ of one convolution it is $|\Delta w| / |w|$, with the root of the sum of the
# squares as the size. We print the median over all convolutions, in the first step and averaged
# over the last twenty.

# %%


def by_heart(lr: float, loss: str = "pseudo-f1", steps: int = 60) -> tuple[float, Array]:
    """F1 on one batch that is all there is to learn, and the update ratio of each step."""
    network = SpiralNet((1, 2, 3, 4), width=1 / 8, rng=np.random.default_rng(0))
    optimiser = Adam(network.named_parameters(), lr=lr)
    arrays = [p for name, p in network.named_parameters() if name.endswith("conv.w")]
    pixels, mask = batch
    ratios = []
    for _ in range(steps):
        logits = network(Tensor(layout.scale_pixels(pixels)))
        optimiser.zero_grad()
        LOSSES[loss](logits, mask).backward()
        before = [p.data.copy() for p in arrays]
        optimiser.step()
        moved = [np.linalg.norm(p.data - w) for p, w in zip(arrays, before, strict=True)]
        ratios.append(np.median(np.array(moved) / [np.linalg.norm(w) for w in before]))
    found = logits.data >= 0
    return 2 * np.count_nonzero(found & mask) / (found.sum() + mask.sum()), np.array(ratios)


print(f"{'learning rate':>13}{'F1':>7}{'first update ratio':>20}{'of the last twenty':>20}")
learnt = {lr: by_heart(lr) for lr in (LR, LR / 100)}
for lr, (f1, ratios) in learnt.items():
    print(f"{lr:13.0e}{f1:7.2f}{ratios[0]:20.0e}{ratios[-20:].mean():20.0e}")

# %% [markdown]
# With ours the batch is learnt <!-- holds learnt[LR][0] > 0.95 -->, so network, loss and optimiser
# work, and what goes wrong elsewhere has another cause. At a hundredth of it a step moves the
# weights by a five-thousandth <!-- holds 1 / 6500 < learnt[LR / 100][1][-20:].mean() < 1 / 4000
# -->, and after sixty steps nothing is learnt <!-- holds learnt[LR / 100][0] < 0.1 -->: that is the
# sign of a rate that is too small. Ours begins with steps of a twenty-fifth <!-- holds 1 / 30 <
# learnt[LR][1][0] < 1 / 20 -->, far above the rule, and comes down to a few thousandths by itself
# <!-- holds 0.002 < learnt[LR][1][-20:].mean() < 0.01 -->: the gradient becomes smaller, and $\sqrt
# v$ still remembers the large ones. A single batch forgives that. In training another one follows,
# and such steps need a rate that falls.
#
# Adam's first step is $\alpha$ long for every weight, and the weights begin with the size
# $\sqrt{2 / n}$ for the fan-in $n$ (chapter 2). So the paper's $\alpha = 10^{-4}$ begins with the
# ratio $\alpha \sqrt{n/2}$, which is 0.0017 <!-- = 1e-4 * np.sqrt(9 * 64 / 2) --> for a convolution
# of 64 channels: near the rule.
#
# With cross-entropy the same network says "no" to its one batch for 150 steps, and has learnt it
# after 300 (`by_heart(LR, "cross-entropy", 300)`, some ten seconds: F1 is 1.00): that is point 4.
#
# Point 5, for this chapter's networks:

# %%
print(f"{'':26}{'AP':>6}{'F1':>7}{'ODS':>7}  at threshold")
for (name, statistics), found in results.items():
    print(
        f"{name + ', ' + statistics:26}{found.average_precision:6.3f}{found.f1:7.3f}"
        f"{found.ods:7.3f}{found.ods_threshold:14.3f}"
    )

# %% [markdown]
# No threshold saves the first <!-- holds results["cross-entropy", "anew"].ods < 0.05 -->: its
# scores are hardly in order yet, so what it lacks is steps, not a threshold. The second, as it was
# trained, says "yes" everywhere instead, and is at its best where nearly everything is rejected
# <!-- holds results["pseudo-f1", "as trained"].ods_threshold > 0.95 -->: that is point 8. (ODS
# counts the pixels of all photographs together, those without crack among them, and F1 is averaged
# over those with one; so F1 may be the larger.)

# %% [markdown]
# ## From your own photographs to a report
#
# All of this chapter, and of the book, in nine commands. To practise, begin with synthetic
# photographs, which have masks already:
#
# ```sh
# minispiral synth photos/train --photos 12 --size 640x480
# minispiral synth photos/val --photos 4 --size 640x480 --seed 1
# minispiral synth photos/test --photos 4 --size 640x480 --seed 2
# ```
#
# With your own, make the same three folders, each with its `images/`. Split by wall, not by
# photograph, or the network is tested on what it has seen. Draw the cracks as lines in labelme,
# CVAT or the like, and turn the labels into masks, for each of the folders:
#
# ```sh
# minispiral labels photos/train/labelme --out photos/train/masks --empty
# ```
#
# `--empty` says that a photograph without labels has no crack; leave it out as long as some are not
# labelled yet. Then look at the masks (point 1 of the list), and find out what the weights that you
# have already are worth. That is the score to beat:
#
# ```sh
# minispiral check photos/train --val photos/val --out check.html
# minispiral evaluate pretrained photos/val --threshold best --tolerance 2
# ```
#
# Train, beginning with these weights, and score again. This takes a few minutes on two cores:
#
# ```sh
# minispiral train photos/train --val photos/val --out mine --init pretrained \
#     --patch 127 --batch 8 --patches-per-image 20 --steps 240 \
#     --lr 1e-3 --schedule cosine --warmup 50
# minispiral evaluate mine photos/train --threshold best --tolerance 2
# minispiral evaluate mine photos/val --threshold best --tolerance 2
# ```
#
# When nothing is left to choose, score the test set, once; then find the cracks in the photographs
# that all this was for, measure them, and hand on the page:
#
# ```sh
# minispiral evaluate mine photos/test --threshold best --tolerance 2
# minispiral detect mine photos/test/images --out found --threshold best --scale 0.12
# minispiral report found --scale 0.12 --threshold 0.6
# ```
#
# On these synthetic photographs F1 within 2 pixels rose from 0.74 to 0.91 on the four of `val`, and
# fell from 0.83 to 0.73 on the four of `test`. Without a test set we would have been proud of it.
# The network and its threshold, 0.93, were chosen by four photographs and suit these, and four more
# say little about the rest. So take more photographs into `val` and `test` than we did here, and
# compare `mine` with `pretrained` on both: the better weights may be the ones that you had.
#
# `--scale` is the millimetres of wall in a pixel; without it all is in pixels. `detect` measures if
# the extra `measure` is installed (`pip install 'minispiral[measure]'`), and writes
# `found/report.html`, one file that opens anywhere, and the tables beside it. `report` makes the
# page anew, without the network. The pages [own photographs](../how-to/own-photographs.md),
# [labels](../how-to/labels.md), [recipe](../how-to/recipe.md), [scores](../how-to/scores.md) and
# [crack report](../how-to/crack-report.md) have the details.

# %% [markdown]
# ## Where it lives
#
# **Now read** some 150 lines: `minispiral.training.step.TrainingStep`, three of this chapter's four
# lines; `minispiral.kernels.adam.Update`, Adam's; and `minispiral.training.loop.train`, which says
# what it promises before it begins.
#
# - `minispiral.data.store.PhotoStore`, `minispiral.data.patches.PatchSampler` and
#   `minispiral.data.prefetch.prefetch`: photographs, patches, and the thread that draws the next
#   batch in the background
# - `minispiral.training.step.TrainingStep`: one step of training, flips and scaling included
# - `minispiral.optim.Adam` and `minispiral.kernels.adam.Update`: Adam
# - `minispiral.training.loop.train`, `minispiral.training.loop.Loop` and
#   `minispiral.training.state.TrainingState`: the loop, and what it saves and resumes
# - `minispiral.runs.checkpoint.Checkpoint`: what is saved
# - `minispiral.nn.BatchNorm`: running statistics
# - `minispiral.detection.tiling.tile_axis` and `minispiral.detection.tiling.predict`: tiles
# - `minispiral.detection.metrics.score_photo`, `minispiral.detection.metrics.average_precision`,
#   `minispiral.detection.metrics.summarize`: scores
# - `minispiral.detection.maps.look`: the maps
# - `minispiral.runs.checkpoint.load_network` and `minispiral.runs.trained.checkpoint_of`: trained
#   weights, those of the package among them
# - `minispiral.training.schedule.Schedule` and `minispiral.training.average.Average`: a learning
#   rate that falls, and averaged weights
# - `minispiral.data.synth.make_sample`: synthetic concrete
# - `minispiral.training.demo.demo`: this chapter's comparison with longer training, the command
#   `minispiral demo`
#
# ## To read on
#
# - D. P. Kingma and J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015. Two pages of
#   method, with the reason for each line of `adam_step`.
# - J. Davis and M. Goadrich, *The Relationship Between Precision-Recall and ROC Curves*, ICML 2006.
#   Why a rare class is scored by precision and recall, and how not to interpolate between them.
# - L. Prechelt, *Early Stopping - But When?*, in *Neural Networks: Tricks of the Trade*,
#   Springer 1998. What the validation curve looks like in earnest, and fourteen rules for when to
#   stop.
# - O. Ronneberger, P. Fischer and T. Brox, *U-Net*, MICCAI 2015: tiles that overlap, with mirrored
#   edges, as here.

# %% [markdown]
# ## Exercises
#
# Write the function into a file `answer.py` and run `minispiral exercise 7.1 answer.py`.
#
# ### Exercise 7.1 ★
#
# Write `patch(photo, mask, side, rng)`. `photo` is an array `(h, w, 3)` of `uint8`, `mask` a
# boolean array `(h, w)`, `side` a number of pixels not larger than `h` or `w`, and `rng` a
# `numpy.random.Generator`. Return the pair `(x, y)` of a random patch: `x` of shape
# `(side, side, 3)`, `float32`, scaled to $[-1, 1]$ as above, and its mask `y` of shape
# `(side, side)`. All positions in the photograph must be equally likely, and so must the four
# combinations of flips. Take all randomness from `rng`, in any order.
#
# ### Exercise 7.2 ★
#
# Write `running(batches, momentum)`. `batches` is a list of arrays `(m, c)`: `m` values for each of
# `c` channels. Return the pair `(mean, var)` of running statistics, arrays `(c,)`, after all of
# these batches. They start at 0 and 1. `momentum` is the weight of the newest batch, 0.1 above.
#
# ### Exercise 7.3 ★★
#
# Write `average_precision(scores, labels)`. Both are one-dimensional arrays of the same length,
# `scores` of numbers and `labels` of booleans, at least one of them `True`. Return AP as defined
# above. Many scores may be equal; these enter together.
#
# ### On paper
#
# **A.** A weight gets the gradient $g$ in the first step and $-g$ in the second. Compute Adam's two
# moves by hand, for $\beta_1 = 0.9$ and a negligible $\epsilon$. What does plain gradient descent
# do?
#
# **B.** For tens of thousands of steps the gradient of a weight was 0: a ReLU behind it let nothing
# through. Then comes one gradient $g$, and after it nothing but 0 again. How far does Adam move the
# weight at once, and how far in all, with $\beta_1 = 0.9$, $\beta_2 = 0.999$ and a negligible
# $\epsilon$? Compare with a weight that gets the gradient $g$ in every step. What changes for
# $\beta_2 = 0.9$?
#
# **C.** A network is *calibrated* if, of the pixels to which it gives the probability $q$, the
# fraction $q$ is crack. Let $\mathrm{F1}$ be the score of a set of pixels called crack. Show that
# adding pixels of probability $q$ to the set raises it if $q > \mathrm{F1}/2$, and lowers it if
# $q < \mathrm{F1}/2$. What is the best threshold of a calibrated network that reaches 0.6? Can the
# best threshold be above one half? In *From your own photographs to a report* it is 0.93: how does
# Eq. 11 bring that about?
#
# ### Experiment
#
# Cross-entropy says "no" everywhere. Get it out of that with other learning rates, more steps, a
# bias of the last layer that starts at the logarithm of the odds, or more cracks in the batches.
# Which is the cheapest, and what is its F1 on unseen photographs?
#
# ### Your own photographs
#
# Take twenty photographs of walls near you, some without a crack, at least five of them from a wall
# of its own, which becomes `test`. Go through the commands of *From your own photographs to a
# report*. Before each `evaluate`, write down the score that you expect. Then answer with a number
# each: Did your labels beat `pretrained` on `val`? Does the network overfit, by point 9 of the
# list? What does half of the training photographs give? How far is the test score from that of
# `val`? Last, show the report to somebody who has seen the wall, and count what it misses and what
# it invents.
#
# In a course this is [the project](lecturer.md#the-project-from-your-own-photographs-to-a-report),
# with what is handed in at each step, and what a good one shows.
