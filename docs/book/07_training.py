# %% [markdown]
# # 7. Training it
#
# After this chapter you can
#
# - draw batches of random patches, and say why we train on patches instead of photographs;
# - say what one crack pixel in 450 does to accuracy, to cross-entropy and to the pseudo-gradient;
# - write Adam, and say what it does to the size of a gradient;
# - train a small Spiral-Net and read its curves;
# - say what a checkpoint must hold for a run to go on as if nothing had happened;
# - find the cracks in a photograph of any size by overlapping tiles, and score them;
# - read the maps of a trained network's modules.
#
# It takes about an hour and a half. You need chapter 3 (batch norm), chapter 5 (Eq. 11) and chapter
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
# 4 <!-- = BATCH --> small ones. The chapter is about what happens, not about the best score.

# %%
import tempfile
from collections import Counter
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
from minispiral.detection.metrics import average_precision, score_photo, summarize
from minispiral.detection.tiling import predict, tile_axis
from minispiral.kernels import layout
from minispiral.losses import LOSSES
from minispiral.networks import SpiralNet
from minispiral.nn import BatchNorm, Parameter
from minispiral.optim import Adam
from minispiral.runs.checkpoint import load
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
# $$ \mathbf{prec} = \frac{TP}{TP + FP}, \qquad \mathbf{rec} = \frac{TP}{TP + FN}, \qquad
#    \mathbf{F1} = \frac{2\,TP}{2\,TP + FP + FN} . $$
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

fig, axes = plt.subplots(1, 4, figsize=(7, 2.1), layout="constrained")
x, mask = drawn(sampler, rng)
while np.count_nonzero(mask.any(axis=(1, 2, 3))) < 2:
    x, mask = drawn(sampler, rng)
for ax, one, label in zip(axes, x, mask, strict=True):
    ax.imshow(one)
    if label.any():
        ax.contour(label[..., 0], [0.5], colors="red", linewidths=1)
    ax.set(xticks=[0, 62], yticks=[], xlabel=f"{int(label.sum())} crack pixels")

# %% [markdown]
# *Figure 7.1. A batch of four patches of 63 x 63 pixels, with their crack pixels outlined in red:
# the first batch drawn here in which at least two patches have any.*

# %% [markdown]
# F1 is a score of a *set* of pixels, and the sums of Eq. 11 run over the whole mini-batch. A batch
# without any crack pixel has no F1: its loss, $-\log \mathbf{F1}$, is infinite. The library then
# takes the gradient of the other pixels alone, which is well defined, and counts such batches. With
# the paper's batches of 32 large patches they hardly ever occur; with ours they do.

# %% [markdown]
# ## Adam
#
# With the gradient $g$ of a weight, plain gradient descent moves it by $-\alpha g$. The **learning
# rate** $\alpha$ must then fit the size of the gradient, which can differ a hundredfold between the
# parts of a network (Figure 6.4). **Adam** keeps two running means for each weight, of the gradient
# and of its square, and divides the first by the square root of the second:
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 $$
#
# $$ w \leftarrow w - \alpha\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} $$
#
# $t$ counts the steps from 1. Both means start at 0, so they are too small at first; the divisors
# $1 - \beta^t$ correct that. The paper takes $\alpha = 10^{-4}$ and $\beta_1 = 0.9$;
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
# line the gradient is smaller than $\epsilon$, and the step all but vanishes. Eq. 11 is therefore
# not divided by the number of pixels, which is two million <!-- holds 2.0e6 < 32 * 255**2 < 2.1e6
# --> in the paper's batches. (So we read the paper, which does not say it: chapter 5.)

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
# *Figure 7.2. Precision, recall and F1 at probability one half on the training patches, over the
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
print("running mean and variance after 30 batches:", norm.running_mean, norm.running_var)

# %% [markdown]
# This has a price. The statistics are those of *past* networks, a mixture in which the last ten
# steps make up 65 % <!-- = 100 * (1 - 0.9**10) --> (chapter 3), and of small batches. If the
# weights move fast, the statistics lag behind. Let us see how much the answers of the same network
# differ on the same patches:

# %%
x, mask = drawn(sampler, np.random.default_rng(4))
print("differences of the probabilities")
for loss, (network, _) in trained.items():
    with no_grad():
        # A copy of the running statistics, since a forward pass in training mode updates them.
        kept = {name: array.copy() for name, array in network.state().items()}
        by_batch = ops.sigmoid(network.train()(Tensor(layout.scale_pixels(x)))).data
        network.load_state(kept)
        by_running = ops.sigmoid(network.eval()(Tensor(layout.scale_pixels(x)))).data
    network.train()
    gap = np.abs(by_batch - by_running)
    print(f"{NAMES[loss]:24} on average {gap.mean():.3f}, at most {gap.max():.2f}")

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
total = np.zeros(axis.length, np.float32)
fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for k in range(axis.count):
    inside, in_tile = axis.inside(k)
    weight = axis.weight(k)[in_tile]
    total[inside] += weight
    pixels = np.arange(axis.length)[inside]
    ax.plot(pixels, weight, label=f"tile {k + 1}, from pixel {axis.first + k * axis.step}")
ax.set(
    xlabel="pixel of the photograph, along one axis",
    ylabel="weight of the tile",
    ylim=(-0.05, 1.05),
)
ax.legend(fontsize=9)
assert (total == 1).all()

# %% [markdown]
# *Figure 7.3. The weights of the tiles along one axis of 383 pixels, for tiles of 191 pixels. They
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

print(
    f"\n{'unseen photographs':24}{'AP':>6}{'precision':>11}{'recall':>8}{'F1':>6}{'F1, 2 px':>10}"
)
for loss, (network, _) in trained.items():
    maps = [predict(network, unseen.photo(i)) for i in range(len(unseen))]
    exact, tolerant = (
        summarize(
            [
                score_photo(pair.name, one, unseen.mask(i), tolerance=tolerance)
                for i, (pair, one) in enumerate(zip(unseen.pairs, maps, strict=True))
            ]
        )
        for tolerance in (0, 2)
    )
    print(
        f"{NAMES[loss]:24}{exact.average_precision:6.3f}{exact.precision:11.3f}"
        f"{exact.recall:8.3f}{exact.f1:6.3f}{tolerant.f1:10.3f}"
    )

# %% [markdown]
# Cross-entropy's network finds nothing at one half, and yet its AP is above chance level, which is
# the share of crack pixels. So its scores are beginning to be in the right order, but all lie below
# one half. F1 shows this kind of failure, AP does not. Longer training gets cross-entropy out of
# it, sooner with a larger learning rate. The results page has a case on synthetic photographs where
# it then even overtakes Eq. 11. The pseudo-gradient needs no such patience, which is the point of
# it.
#
# All these scores are low: they come from a few seconds of training. `minispiral demo` does the
# same for some minutes.
#
# The last column counts a pixel as right within 2 pixels of a crack. A label drawn by hand is
# seldom exact to the pixel, so much of what counts as wrong lies right next to the crack.

# %% [markdown]
# ## What each network sees
#
# Now for the maps. `look` returns, for a photograph or a part of one, the map of each module and
# its weight in the last layer. Black is 0, white is the 99.9th percentile.

# %%
NUMBER = 4
fig, axes = plt.subplots(2, 6, figsize=(7, 2.9), layout="constrained")
for row, (loss, (network, _)) in zip(axes, trained.items(), strict=True):
    seen = look(network, unseen.photo(NUMBER))
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
# *Figure 7.4. An unseen photograph of 159 x 159 pixels with its crack outlined; the maps of modules
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
# row the same begins, faintly, and all logits stay low.
#
# The fine checkerboard comes from the transposed convolutions. Along each axis an even pixel has
# two sources and an odd one a single source (chapter 6), and the weights have not yet learned to
# even that out.

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
# A weight gets the gradient $g$ in the first step and $-g$ in the second. Compute Adam's two moves
# by hand, for $\beta_1 = 0.9$ and a negligible $\epsilon$. What does plain gradient descent do?
#
# ### Experiment
#
# Cross-entropy says "no" everywhere. Get it out of that with other learning rates, more steps, a
# bias of the last layer that starts at the logarithm of the odds, or more cracks in the batches.
# Which is the cheapest, and what is its F1 on unseen photographs?
#
# ### Your own photographs
#
# You can now train a network of your own, from photographs of a wall near you to a report that an
# engineer can use. [The project](lecturer.md#the-project-from-your-own-photographs-to-a-report)
# says in which steps, and what a good one shows.
