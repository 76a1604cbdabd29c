# %% [markdown]
# # 5. From F1 to a loss to a gradient that has no loss
#
# After this chapter you can
#
# - say why a network that finds no crack at all is right about 98 pixels in 100;
# - derive a loss from the F1 score, and its gradient, equation by equation (Eq. 1 to 8 of the
#   paper);
# - say which pixels that gradient neglects, and build one that does not neglect them (Eq. 9 to 11);
# - follow its two weights while a network trains (Eq. 12 and 13);
# - prove that no loss has this gradient, and say why it trains a network all the same.
#
# It takes about an hour and a half. You need chapter 1 (the tape) and the derivative of a quotient
# and of a logarithm. The complex step, which checks derivatives here, is explained in chapter 4;
# one sentence repeats it where it is used.

# %% [markdown]
# ## The idea
#
# A hairline crack is a few pixels wide. In a photograph of a wall perhaps one pixel in fifty
# belongs to it. A network that calls every pixel sound is then right in 98 of 100 cases, and
# useless. A loss that weights all pixels equally, as cross-entropy does, pulls the network towards
# just this answer.
#
# The **F1 score** does not. It asks only about cracks: how many of the pixels called crack are
# crack, and how many of the crack pixels were found. So why not train for a high F1 score? There
# are two obstacles. F1 counts pixels, and a count has no derivative. And when the count is replaced
# by probabilities, the gradient fades away for those pixels on which the network is most wrong. The
# paper overcomes the first obstacle with a loss, and the second by giving up the loss: it writes
# down the gradient that it wants, and trains with that. This chapter does the same, equation by
# equation.

# %%
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.colors import SymLogNorm
from numpy.typing import NDArray

from minispiral import losses
from minispiral.gradcheck import check_pseudo_f1, gradcheck
from minispiral.kernels import arithmetic
from minispiral.kernels import losses as library
from minispiral.networks import SpiralNet
from minispiral.optim import Adam
from minispiral.tensor import Tensor, no_grad

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
Mask = NDArray[np.bool_]
rng = np.random.default_rng(5)

# %% [markdown]
# ## Counting: Eq. 1
#
# Each pixel $i$ has a **label** $l_i$, which is $1$ on crack (*positive*) and $-1$ elsewhere
# (*negative*). In the code the label is a **mask** that is `True` on crack. The network says
# $\hat l_i$, again $1$ or $-1$. Count three kinds of pixels:
#
# - true positives, TP: crack, and called crack;
# - false positives, FP: not crack, but called crack;
# - false negatives, FN: crack, but not called crack.
#
# **Precision** is the fraction of the pixels called crack that are crack. **Recall** is the
# fraction of the crack pixels that were found.
#
# $$ \mathrm{prec} = \frac{TP}{TP + FP}, \qquad \mathrm{rec} = \frac{TP}{TP + FN} $$
#
# The F1 score is their *harmonic mean*, one over the mean of $1 / \mathrm{prec}$ and $1 /
# \mathrm{rec}$:
#
# $$ \mathrm{F1} = \frac{2\,\mathrm{prec} \cdot \mathrm{rec}}{\mathrm{prec} + \mathrm{rec}}
# \tag{1} $$
#
# A harmonic mean is small if either of the two is small. A high F1 needs both.
#
# Here is a small batch of 200 pixels to work with. Six of them are crack. The network outputs a
# **logit** $x_i$ for each pixel: any number, and the larger it is, the more likely a crack. A pixel
# is called crack if $x_i > 0$, that is, if its probability is above one half: that is the
# *threshold*.

# %%
crack = np.arange(200) < 6
x = np.where(crack, rng.normal(-0.5, 1.5, 200), rng.normal(-3, 1.5, 200))


def counted_f1(called: Mask, crack: Mask) -> float:
    tp = np.sum(called & crack)
    fp = np.sum(called & ~crack)
    fn = np.sum(~called & crack)
    if tp == 0:
        return 0.0
    prec, rec = tp / (tp + fp), tp / (tp + fn)
    return float(2 * prec * rec / (prec + rec))


for name, called in (("by the logits", x > 0), ("none", x > np.inf), ("all", x > -np.inf)):
    right = np.mean(called == crack)
    print(f"called crack {name:14} right {right:.3f}   F1 {counted_f1(called, crack):.3f}")

# %% [markdown]
# Calling no pixel a crack is right for 97 % <!-- = 100 * np.mean(~crack) --> of the pixels here,
# and its F1 is 0 <!-- = counted_f1(x > np.inf, crack) -->. Calling every pixel a crack has a recall
# of 1, but a precision of 0.03 <!-- = np.mean(crack) -->, and F1 is never more than twice the lower
# of the two.
#
# ## From counts to probabilities: Eq. 2 to 5
#
# A count jumps when a logit crosses zero and is constant otherwise. Its derivative is 0 or does not
# exist. So let each pixel be called crack with a *probability*, which varies smoothly with its
# logit:
#
# $$ p(\hat l_i = 1) = \sigma(x_i) = \frac{1}{1 + e^{-x_i}} = \sigma_i \tag{2} $$
#
# $\sigma$ is the sigmoid function; it goes from 0 to 1. Let $N_1$ and $N_{-1}$ be the numbers of
# crack pixels and of others. Take one pixel of the batch at random. Its label $l$ is 1 or $-1$ with
# the probabilities
#
# $$ \begin{aligned}
# p(l = 1) &= \frac{N_1}{N_1 + N_{-1}}, \\[0.8ex]
# p(l = -1) &= \frac{N_{-1}}{N_1 + N_{-1}}
# \end{aligned} \tag{3} $$
#
# Recall is the probability that a pixel is called crack, given that it is crack, written $p(\hat l
# = 1 \mid l = 1)$. That is the mean of $\sigma$ over the crack pixels, those $j$ with $l_j = 1$:
#
# $$ \mathrm{rec} = p(\hat l = 1 \mid l = 1) = \frac{1}{N_1} \sum_{j|l_j=1} \sigma_j \tag{4} $$
#
# Precision is the probability that a pixel is crack, given that it is called crack. Bayes' rule,
# $p(a \mid b) = p(b \mid a)\, p(a) / p(b)$, swaps the condition. Its denominator, the probability
# of being called crack, is a sum over the two kinds of pixels:
#
# $$ \begin{aligned}
# \mathrm{prec} &= \frac{p(\hat l = 1 \mid l = 1)\, p(l = 1)}
# {\sum_{c \in \{-1, 1\}} p(\hat l = 1 \mid l = c)\, p(l = c)} \\[0.8ex]
# &= \frac{\sum_{j|l_j=1} \sigma_j}{\sum_j \sigma_j}
# \end{aligned} \tag{5} $$
#
# For the last step, multiply the mean over each class by its fraction of the pixels: $N_1$ or
# $N_{-1}$ cancels, which leaves sums of $\sigma$ divided by the number of all pixels.
#
# (In the denominator the paper prints $p(\hat l = c \mid l = c)$, with $\hat l = c$ in the place of
# $\hat l = 1$. That would be the probability of a *right* answer. The result that it prints follows
# from the formula above; the [errata](errata.md) list such slips.)

# %%
sigma = 1 / (1 + np.exp(-x))  # Eq. 2
p_crack, p_other = np.mean(crack), np.mean(~crack)  # Eq. 3
rec = sigma[crack].mean()  # Eq. 4
by_bayes = rec * p_crack / (rec * p_crack + sigma[~crack].mean() * p_other)  # Eq. 5, left
prec = sigma[crack].sum() / sigma.sum()  # Eq. 5, right
np.testing.assert_allclose(prec, by_bayes)
as_printed = rec * p_crack / (rec * p_crack + (1 - sigma[~crack]).mean() * p_other)
print(f"precision {prec:.3f}, recall {rec:.3f}; with the denominator as printed {as_printed:.3f}")
assert not np.isclose(prec, as_printed)

# %% [markdown]
# ## The soft F1 score: Eq. 6
#
# Three numbers describe the batch. We write
#
# $$ S = \sum_{j|l_j=1} \sigma_j, \quad A = \sum_j \sigma_j, \quad T = N_1 + A. $$
#
# In the code they are called `sum_pos`, `sum_all` and `total`, and $N_1$ is `n_pos`. Then
# $\mathrm{rec} = S / N_1$ and $\mathrm{prec} = S / A$. Insert both into Eq. 1 and multiply
# numerator and denominator by $A N_1 / S$:
#
# $$ \mathrm{F1} = \frac{2\, \frac{S}{A} \cdot \frac{S}{N_1}}{\frac{S}{A} + \frac{S}{N_1}}
# = \frac{2 S}{N_1 + A} = \frac{2 S}{T} \tag{6} $$

# %%


def soft_f1(sigma: Array, crack: Mask) -> Any:
    return 2 * sigma[crack].sum() / (crack.sum() + sigma.sum())


np.testing.assert_allclose(soft_f1(sigma, crack), 2 * prec * rec / (prec + rec))

F1 = library.F1()  # an entry of the library's table of losses
sums = library.sums(F1, x, crack)
print("n_pos {:.0f}, sum_pos {:.3f}, sum_all {:.3f}".format(*sums))
np.testing.assert_allclose(library.value(F1, sums, x.size), -np.log(soft_f1(sigma, crack)))

# %% [markdown]
# If every $\sigma$ is 0 or 1, Eq. 6 is exactly the counted F1. Otherwise it is a smooth substitute.
# In the figure, all logits are shifted by the same number.

# %%
shifts = np.linspace(-8, 8, 400)
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for scale, style in ((1, "-"), (10, ":")):
    curve = [soft_f1(1 / (1 + np.exp(-scale * (x + s))), crack) for s in shifts]
    ax.plot(shifts, curve, style, label=f"soft, Eq. 6, logits times {scale}")
ax.step(shifts, [counted_f1(x + s > 0, crack) for s in shifts], color="0.5", label="counted, Eq. 1")
ax.set(xlabel="number added to all logits", ylabel="F1 score")
ax.legend()

# %% [markdown]
# *Figure 5.1. Counted F1 is a staircase, whose steps give no direction. Soft F1 is smooth. With
# logits ten times as large almost every sigma is 0 or 1, and it comes close to the counted F1.*
#
# ## The loss and its derivative: Eq. 7
#
# A loss should be small where F1 is large. The paper takes
#
# $$ L = -\log \mathrm{F1} = \log T - \log S - \log 2 . $$
#
# Why the logarithm? Its derivative is $-\frac{1}{\mathrm{F1}}$ times that of F1. At the start of
# training F1 is nearly 0, and the division makes the derivative large just then.
#
# Now change one $\sigma_i$. If pixel $i$ is crack, $\sigma_i$ is a term of both $S$ and $A$;
# otherwise only of $A$. Since $\frac{d}{dT} \log T = \frac{1}{T}$,
#
# $$ \frac{\partial L}{\partial \sigma_i} = \begin{cases}
# -\left(\frac{1}{S} - \frac{1}{T}\right), & l_i = 1 \\
# \frac{1}{T}, & l_i = -1 \end{cases} \tag{7} $$
#
# The parenthesis is positive, because $S \le A < T$. So more $\sigma$ on crack makes the loss
# smaller, and more $\sigma$ elsewhere makes it larger. Note what Eq. 7 does *not* depend on: the
# individual pixel. All crack pixels of a batch share one number, and all others share another.
#
# Let us check this without trusting the derivation. A **complex step** adds a tiny imaginary number
# $ih$ to one $\sigma_i$; the imaginary part of the result over $h$ is the derivative (chapter 4
# says why).

# %%


def eq7(sigma: Array, crack: Mask) -> Array:
    s, t = sigma[crack].sum(), crack.sum() + sigma.sum()
    return np.where(crack, -(1 / s - 1 / t), 1 / t)


def by_complex_steps(f: Callable[[Array], Any], at: Array, h: float = 1e-40) -> Array:
    """The derivative of f by each element of ``at``: one row for each number that f returns."""
    columns = [np.imag(f(at + 1j * h * unit)) / h for unit in np.eye(len(at))]
    return np.stack(columns, axis=-1)


np.testing.assert_allclose(
    eq7(sigma, crack), by_complex_steps(lambda s: -np.log(soft_f1(s, crack)), sigma)
)
w_pos, w_neg = F1.weights(sums, x.size)  # the library keeps the sizes; the signs are always these
np.testing.assert_allclose(eq7(sigma, crack), np.where(crack, -w_pos, w_neg))
print(f"on crack {-w_pos:.4f}, elsewhere {w_neg:.4f}")

# %% [markdown]
# ## The true gradient: Eq. 8
#
# The network's output is the logit, so we need the gradient with respect to $x_i$. The chain rule
# multiplies by the slope of the sigmoid, $\frac{\partial \sigma_i}{\partial x_i} = \sigma_i (1 -
# \sigma_i)$:
#
# $$ \frac{\partial L}{\partial x_i} = \begin{cases}
# -\left(\frac{1}{S} - \frac{1}{T}\right) \sigma_i (1 - \sigma_i), & l_i = 1 \\
# \frac{1}{T}\, \sigma_i (1 - \sigma_i), & l_i = -1 \end{cases} \tag{8} $$

# %%


def eq8(x: Array, crack: Mask) -> Array:
    sigma = 1 / (1 + np.exp(-x))
    return eq7(sigma, crack) * sigma * (1 - sigma)


def gradient(loss: library.Loss, x: Array, crack: Mask) -> Array:
    """The library's gradient, in its two steps: the sums of the batch, then each pixel."""
    return library.gradient(loss, x, crack, library.sums(loss, x, crack))


np.testing.assert_allclose(eq8(x, crack), gradient(F1, x, crack), rtol=1e-12)
report = gradcheck(lambda x: losses.f1_loss(x, crack), {"logits": x})
print(f"f1_loss: a true gradient: {report.passed}, error {report.error:.0e} by {report.method}")

# %% [markdown]
# ### Why it vanishes
#
# The factor $\sigma (1 - \sigma)$ goes to 0 at *both* ends. It is good that a pixel which is
# confidently right gets no gradient. But a pixel that is confidently *wrong* gets none either. Look
# at four kinds of pixels in one batch: crack that was found, crack that was missed (the network is
# sure that it is not crack), quiet background, and false alarms (it is sure that they are crack).
#
# **Predict**, before you run it: which of the four gets the largest gradient, and which the
# smallest?

# %%
kinds = ["crack, found", "crack, missed", "quiet background", "false alarm"]
kind = np.repeat([0, 1, 2, 3], [10, 10, 950, 30])
batch_crack = kind < 2
batch_x = np.array([4.0, -8.0, -4.0, 8.0])[kind]

g8 = eq8(batch_x, batch_crack)
for k, name in enumerate(kinds):
    first = np.flatnonzero(kind == k)[0]
    print(f"{name:17} logit {batch_x[first]:4.0f}   Eq. 8: {g8[first]:10.2e}")

# %% [markdown]
# A missed crack pixel gets a fiftieth <!-- holds 45 < g8[0] / g8[10] < 55 --> of the gradient of
# one that was found long ago. A false alarm gets a fiftieth <!-- holds 45 < g8[20] / g8[-1] < 55
# --> of that of quiet background. The gradient polishes what is nearly right, and has given up on
# what is wrong.
#
# We must be careful about what vanishes. If *all* crack pixels are missed alike, $S$ is small too:
# then $\frac{1}{S}\sigma_i(1 - \sigma_i) \approx \frac{1}{N_1}$, and nothing vanishes. That is the
# merit of the logarithm. It is a *minority* of wrong pixels, among others that are right, that is
# neglected. And when all logits are large, every pixel is called crack, and all of Eq. 8 is small.
# **Adam**, the *optimiser* of the paper (the rule by which gradients move the weights), divides the
# gradient of each weight by its typical size over the last steps (chapter 7 writes it line by
# line). So it compensates for a gradient that is small everywhere. It cannot compensate for one
# that is small in the wrong places.

# %%
missed = np.full(1000, -8.0)
called_all = np.full(1000, 8.0)
for name, logits in (("all pixels at -8", missed), ("all pixels at 8", called_all)):
    g = eq8(logits, batch_crack)
    print(f"{name}: Eq. 8 on crack {g[0]:.2e}, elsewhere {g[-1]:.2e}")
np.testing.assert_allclose(eq8(missed, batch_crack)[0], -1 / 20, rtol=0.02)

# %% [markdown]
# ## Two simpler losses: Eq. 9 and 10
#
# The simplest loss is minus the sum of the probabilities of the right answer:
#
# $$ \begin{aligned}
# \tilde L &= -\sum_{y \in \{-1, 1\}} \sum_{i|l_i = y} p(\hat l_i = y), \\
# \frac{\partial \tilde L}{\partial \sigma_i} &= \begin{cases} -1, & l_i = 1 \\ 1, & l_i = -1
# \end{cases} \end{aligned} \tag{9} $$
#
# Compare with Eq. 7, which has the same signs, but a weight instead of the 1. So the true gradient
# of $-\log \mathrm{F1}$ is the naive loss's gradient, *weighted* by
# $|\partial L / \partial \sigma_i|$:
#
# $$ \frac{\partial L}{\partial x_i} = \left| \frac{\partial L}{\partial \sigma_i} \right|
# \frac{\partial \tilde L}{\partial \sigma_i} \frac{\partial \sigma_i}{\partial x_i} $$
#
# This is Eq. 8 read in a new way: F1 supplies the weights, the naive loss supplies what is
# weighted. But nobody would choose the naive loss. The loss that everyone uses is the
# **cross-entropy**, which takes the logarithm of the probabilities:
#
# $$ \begin{aligned}
# \bar L &= -\sum_{y \in \{-1, 1\}} \sum_{i|l_i = y} \log p(\hat l_i = y), \\
# \frac{\partial \bar L}{\partial \sigma_i} &= \begin{cases} -\frac{1}{\sigma_i}, & l_i = 1 \\
# \frac{1}{1 - \sigma_i}, & l_i = -1 \end{cases} \end{aligned} \tag{10} $$
#
# Its derivative grows without bound as a pixel becomes confidently wrong, just fast enough to
# cancel the factor that vanishes: $\frac{1}{\sigma_i} \cdot \sigma_i (1 - \sigma_i) = 1 -
# \sigma_i$. The paper divides both losses, $\tilde L$ and $\bar L$, by the number of pixels
# $N = N_1 + N_{-1}$ (footnote 1), and so does the library.

# %%


def eq9(sigma: Array, crack: Mask) -> Array:
    return np.where(crack, -1.0, 1.0)


def eq10(sigma: Array, crack: Mask) -> Array:
    return np.where(crack, -1 / sigma, 1 / (1 - sigma))


slope = sigma * (1 - sigma)
np.testing.assert_allclose(np.abs(eq7(sigma, crack)) * eq9(sigma, crack) * slope, eq8(x, crack))
np.testing.assert_allclose(
    eq9(sigma, crack) * slope / len(x), gradient(library.Linear(), x, crack), rtol=1e-12
)
np.testing.assert_allclose(
    eq10(sigma, crack) * slope / len(x), gradient(library.CrossEntropy(), x, crack), rtol=1e-12
)

# %% [markdown]
# ## The pseudo-gradient: Eq. 11
#
# Keep the weights of F1 and apply them to the gradient of the cross-entropy:
#
# $$ \begin{aligned}
# g(x_i) &= \left| \frac{\partial L}{\partial \sigma_i} \right|
# \frac{\partial \bar L}{\partial \sigma_i} \frac{\partial \sigma_i}{\partial x_i} \\
# &= \begin{cases}
# -\left(\frac{1}{S} - \frac{1}{T}\right) (1 - \sigma_i), & l_i = 1 \\
# \frac{1}{T}\, \sigma_i, & l_i = -1 \end{cases} \end{aligned} \tag{11} $$
#
# In each case one factor of Eq. 8 is gone: the one that vanished for wrong pixels.
#
# **Is there a $\frac{1}{N}$?** Footnote 1 divides $\bar L$ by $N$, and the derivative of $\bar L$
# is in Eq. 11. Whether Eq. 11 is divided too the paper does not say. We read it as it is printed,
# without: the weights already are of the size of one over a number of pixels. For an optimiser that
# does not care about the scale of the gradient the two readings are the same. Adam (chapter 7)
# nearly is one, but it adds a small number to what it divides by, and a gradient two million times
# smaller would drown in it.

# %%


def eq11(x: Array, crack: Mask) -> Array:
    sigma = 1 / (1 + np.exp(-x))
    s, t = sigma[crack].sum(), crack.sum() + sigma.sum()
    return np.where(crack, -(1 / s - 1 / t) * (1 - sigma), sigma / t)


product = np.abs(eq7(sigma, crack)) * eq10(sigma, crack) * slope
np.testing.assert_allclose(eq11(x, crack), product)
np.testing.assert_allclose(eq11(x, crack), gradient(library.PseudoF1(), x, crack), rtol=1e-12)

g11 = eq11(batch_x, batch_crack)
for k, name in enumerate(kinds):
    first = np.flatnonzero(kind == k)[0]
    print(f"{name:17} Eq. 8: {g8[first]:10.2e}   Eq. 11: {g11[first]:10.2e}")

# %% [markdown]
# Now a missed crack pixel gets the largest gradient of all <!-- holds np.abs(g11).argmax() == 10
# -->, and a false alarm about fifty times <!-- holds 45 < g11[-1] / g11[20] < 60 --> that of quiet
# background. The next figure shows the same for every logit, with the sums $S$ and $T$ of this
# batch.

# %%
weight = np.abs(eq7(1 / (1 + np.exp(-batch_x)), batch_crack))
logit = np.linspace(-10, 10, 400)
s = 1 / (1 + np.exp(-logit))
fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
for ax, title, wrong, w in (
    (axes[0], "a crack pixel", 1 - s, weight[0]),
    (axes[1], "any other pixel", s, weight[-1]),
):
    ax.plot(logit, w * wrong, label="Eq. 11")
    ax.plot(logit, w * s * (1 - s), "--", label="Eq. 8")
    ax.set(title=title, xlabel="logit", ylabel="size of the gradient", ylim=(0, 1.1 * w))
axes[0].text(-9.5, 0.55 * weight[0], "wrong")
axes[0].text(5.5, 0.55 * weight[0], "right")
axes[1].text(-9.5, 0.55 * weight[-1], "right")
axes[1].text(5.5, 0.55 * weight[-1], "wrong")
axes[0].legend()

# %% [markdown]
# *Figure 5.2. The size of both gradients for one pixel of the batch. Where the network is right
# they agree. Where it is confidently wrong, Eq. 8 fades to 0 and Eq. 11 keeps its full size. (The
# weights of the two classes differ: note the different scales.)*
#
# ![The size of both gradients for every logit, by the number of crack pixels and two
# sums](figures/weights.svg)
#
# *To touch, on the site. The same with logarithmic axes, for any batch. Move the sum on crack
# towards 0: which weight grows? Make it as large as the number of crack pixels, and the sum
# elsewhere 0: what is left of the difference between the classes?*
#
# The effect over many steps is best seen without a network. Let the logits of the 1000 pixels be
# the parameters, and follow plain gradient descent, $x \leftarrow x - \eta\, g(x)$, with the
# learning rate $\eta = 5$.

# %%
ETA, STEPS = 5.0, 400
paths = {}
for title, rule in (("Eq. 8", eq8), ("Eq. 11", eq11)):
    path = [batch_x]
    for _ in range(STEPS):
        path.append(path[-1] - ETA * rule(path[-1], batch_crack))
    paths[title] = path
    print(f"{title}: counted F1 {counted_f1(path[-1] > 0, batch_crack):.2f} after {STEPS} steps")

fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), sharey=True, layout="constrained")
for ax, (title, path) in zip(axes, paths.items(), strict=True):
    for k, name in enumerate(kinds):
        ax.plot([logits[kind == k][0] for logits in path], color=f"C{k}", label=name)
    ax.axhline(0, color="0.7", lw=1)
    ax.set(title=title, xlabel="step")
axes[0].set(ylabel="logit")
axes[0].legend(loc="center")

# %% [markdown]
# *Figure 5.3. The logits of the four kinds of pixels by plain gradient descent. Eq. 8 leaves the
# wrong pixels where they are. Eq. 11 moves them first <!-- holds counted_f1(path[-1] > 0,
# batch_crack) == 1 -->.*
#
# ## The weights: Eq. 12 and 13
#
# How much more does a crack pixel count than another one? Write the weight of a crack pixel with a
# common denominator. Since $T - S = N_1 + \sum_{j|l_j=-1} \sigma_j$,
#
# $$ \begin{aligned}
# \left| \frac{\partial L}{\partial \sigma_i} \right|_{l_i = 1} &= \frac{1}{S} - \frac{1}{T} \\
# &= \frac{N_1 + \sum_{j|l_j=-1} \sigma_j}{S} \cdot \frac{1}{T}
# \end{aligned} \tag{12} $$
#
# and the weight of any other pixel is $\frac{1}{T}$. Their ratio is
#
# $$ r = \frac{N_1 + \sum_{j|l_j=-1} \sigma_j}{\sum_{j|l_j=1} \sigma_j} \ge 1 \tag{13} $$
#
# It is at least 1 because $S \le N_1$. It has two limits worth remembering:
#
# - **All is taken for background**: every $\sigma \to 0$, so $S \to 0$ and $r \to \infty$. The
#   fewer crack pixels are found, the more each one counts.
# - **All is classified well**: $\sigma \to 1$ on crack and $\sigma \to 0$ elsewhere, so
#   $r \to \frac{N_1 + 0}{N_1} = 1$. Then both classes count equally, as in plain cross-entropy.
#
# A fixed weight, such as the inverse of the number of pixels of a class, is as large at the end of
# training as at the beginning, and goes on encouraging false alarms long after the crack has been
# found. These weights fade by themselves.

# %%


def eq13(x: Array, crack: Mask) -> float:
    sigma = 1 / (1 + np.exp(-x))
    return float((crack.sum() + sigma[~crack].sum()) / sigma[crack].sum())


np.testing.assert_allclose(eq13(x, crack), w_pos / w_neg)
print(f"this batch              r = {eq13(x, crack):.2f}")
print(f"all at -20              r = {eq13(np.full(200, -20.0), crack):.3g}")
print(f"all right, by 20        r = {eq13(np.where(crack, 20.0, -20.0), crack):.6f}")

# %% [markdown]
# The sums are taken over the whole mini-batch, not over each picture. So the gradients of a picture
# without any crack are weighted according to the rest of the batch. A batch in which *no* picture
# has a crack has $\mathrm{F1} = 0$ and an infinite loss; the library reports the loss as infinite,
# but its gradient is finite all the same.
#
# The library differs from the code above in three ways that leave the formula unchanged: $1 -
# \sigma(x)$ is computed as $\sigma(-x)$, because the subtraction would lose all digits where
# $\sigma$ is near 1; the sums are taken in float64 even for float32 logits; and $S$ and $T$ are
# kept above $10^{-12}$ <!-- holds resolve_name("minispiral.kernels.loss_table")._FLOOR == 1e-12
# -->, so that nothing is divided by zero.

# %%
far = np.array([50.0, -800.0])  # a crack pixel and another, both confidently right
seen = np.array([True, False])
with np.errstate(over="ignore"):
    print("as above      ", eq11(far, seen))
print("in the library", gradient(library.PseudoF1(), far, seen))

# %% [markdown]
# ## A tiny training
#
# Now a real network: a Spiral-Net of two modules, an eighth as wide as in the paper, on noisy
# pictures of 47 x 47 pixels with one dark line each. Between one and two pixels in a hundred are
# crack <!-- holds 0.01 < shown_crack.mean() < 0.02 -->. We train it three times from the same
# initial weights, on the same pictures: with cross-entropy, with Eq. 8 and with Eq. 11. With 150
# steps we can already see what the weights do.

# %%
SIDE, BATCH, TRAINING = 47, 8, 150


def picture(rng: np.random.Generator) -> tuple[Array, Mask]:
    """A grey, noisy surface with a dark wavy line, and where the line is."""
    rows, cols = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    along = cols * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - cols * np.sin(angle)
    line = rng.uniform(-12, 12) + 2 * np.sin(along / 5 + phase)
    crack = (np.abs(across - line) < 0.8) & (np.abs(along - rng.uniform(-8, 8)) < 12)
    grey = 0.2 + 0.2 * np.sin(along / 11) + rng.normal(0, 0.25, crack.shape)
    return grey - 0.6 * crack, crack


def pictures(rng: np.random.Generator) -> tuple[Tensor, Mask]:
    """A batch (n, h, w, 3) and its masks (n, h, w, 1)."""
    greys, cracks = zip(*(picture(rng) for _ in range(BATCH)), strict=True)
    colours = np.repeat(np.stack(greys)[..., None], 3, axis=-1)
    return Tensor(colours.astype(np.float32)), np.stack(cracks)[..., None]


shown_x, shown_crack = pictures(np.random.default_rng(100))  # never trained on


def train(loss: Callable[[Tensor, Mask], Tensor]) -> dict[str, Array]:
    """Train a network; return F1 and the weights at each step, and some of its answers."""
    net = SpiralNet((1, 2), width=1 / 8, rng=np.random.default_rng(0))
    adam = Adam(net.named_parameters(), lr=0.01)
    rng = np.random.default_rng(1)
    f1, weights, answers = [], [], []
    for step in range(TRAINING):
        if step % 10 == 0:
            with no_grad():
                net.eval()
                answers.append(net(shown_x).data)
                net.train()
        x, crack = pictures(rng)
        logits = net(x)
        adam.zero_grad()
        loss(logits, crack).backward()
        adam.step()
        f1.append(counted_f1(logits.data > 0, crack))
        weights.append(F1.weights(library.sums(F1, logits.data, crack), crack.size))
    return {"f1": np.array(f1), "weights": np.array(weights), "answers": np.array(answers)}


runs = {
    "cross-entropy": train(losses.cross_entropy),
    "Eq. 8": train(losses.f1_loss),
    "Eq. 11": train(losses.pseudo_f1),
}
late = {name: run["f1"][-10:].mean() for name, run in runs.items()}

# %%
for name in runs:
    print(f"{name:14} F1 of the last ten steps {late[name]:.2f}")

fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
for name, run in runs.items():
    smooth = np.convolve(run["f1"], np.ones(5) / 5, "valid")
    axes[0].plot(smooth, label=name)
    axes[1].semilogy(run["weights"][:, 0] / run["weights"][:, 1])
axes[0].set(xlabel="step", ylabel="counted F1 of the batch", ylim=(0, 1))
axes[0].legend()
axes[1].set(xlabel="step", ylabel="r of Eq. 13")

# %% [markdown]
# *Figure 5.4. Left, F1 at a threshold of 0.5 (mean of five steps). Cross-entropy first learns to
# call everything background. Right, the ratio of the two weights: how much a crack pixel counts
# (for cross-entropy, would count) compared with another pixel. It starts at about the number of
# other pixels per crack pixel, and falls by itself as the crack is found <!-- holds
# runs["cross-entropy"]["f1"][20:].max() < 0.05 < 0.5 < runs["Eq. 11"]["f1"][-1] -->.*
#
# Why does it start there? An untrained network has $\sigma \approx \frac{1}{2}$ everywhere. Then $S
# \approx \frac{N_1}{2}$ and $r \approx 2 + \frac{N_{-1}}{N_1}$: the weights of the two classes
# begin roughly as one over the number of their pixels, which is known as *inverse class
# frequencies*.
#
# In this small example Eq. 8 does as well as Eq. 11 <!-- holds abs(late["Eq. 8"] - late["Eq. 11"])
# < 0.1 -->: the pictures are easy, the training is short, and Adam compensates for a gradient that
# is small everywhere. Cross-entropy does not fail either, it is only late: its $r$ falls too, and
# with several times as many steps it finds the line (try `TRAINING = 600`). On photographs, the
# paper's Table 4 has Eq. 11 above both in F1, for each of four networks. The runs of this project
# are much smaller, and agree only in part: `docs/results.md` has them, including those that speak
# against Eq. 11. What was derived holds in any case: Eq. 8 hardly moves a pixel about which the
# network is confidently wrong.
#
# Now watch Eq. 11 at work on a picture that the network is never trained on.

# %%
shown = runs["Eq. 11"]
grads = np.stack([gradient(library.PseudoF1(), logits, shown_crack) for logits in shown["answers"]])
times = np.arange(0, TRAINING, 10)

fig, axes = plt.subplots(2, 2, figsize=(7, 6.2), layout="constrained")
greys = {"cmap": "gray", "vmin": 0, "vmax": 1}
axes[0, 0].imshow(shown_x.data[0, ..., 0], cmap="gray")
axes[0, 0].set_title("picture")
answer_image = axes[0, 1].imshow(np.zeros((SIDE, SIDE)), **greys)
axes[0, 1].set_title("probability of crack")
limit = np.abs(grads[:, 0]).max()
norm = SymLogNorm(1e-5, vmin=-limit, vmax=limit)  # linear up to 1e-5, logarithmic beyond
grad_image = axes[1, 0].imshow(np.zeros((SIDE, SIDE)), cmap="RdBu", norm=norm)
axes[1, 0].set_title("pseudo-gradient, Eq. 11")
for ax in axes.flat[:3]:
    ax.set(xticks=[], yticks=[])
for column, name in enumerate(("crack", "elsewhere")):
    axes[1, 1].semilogy(shown["weights"][:, column], color=f"C{3 - 3 * column}", label=name)
axes[1, 1].set(xlabel="step", title="weights, Eq. 7")
axes[1, 1].legend()
now = axes[1, 1].axvline(0, color="0.5")


def frame(number: int) -> list[Any]:
    answer_image.set_data(arithmetic.sigmoid(shown["answers"][number, 0, ..., 0]))
    grad_image.set_data(grads[number, 0, ..., 0])
    now.set_xdata([times[number]])
    return [answer_image, grad_image, now]


animation = FuncAnimation(fig, frame, range(len(times)), interval=400)
frame(len(times) - 1)

# %% [markdown]
# *Figure 5.5. (It moves.) A picture, the probability that the network gives each pixel, the
# pseudo-gradient (red: raise the logit, blue: lower it; the scale is logarithmic) and the two
# weights as training goes on. The line marks the step that is shown. The weight of a crack pixel
# falls and that of the others rises, because S grows and T shrinks. (The faint grid comes from the
# transposed convolutions of stride 2, see chapter 2.)*
#
# ## It is not the gradient of any loss
#
# Eq. 11 was assembled from pieces. Might it be the gradient of some loss that we simply have not
# found? Footnote 2 of the paper says no, and leaves the proof to a supplement. Here is one.
#
# ### The test
#
# Suppose a loss $\Lambda$ had $g$ as its gradient: $g_i = \partial \Lambda / \partial x_i$. The
# derivative of $g_i$ with respect to another logit $x_j$ would be a second derivative of $\Lambda$,
# and the order of second derivatives does not matter:
#
# $$ \frac{\partial g_i}{\partial x_j}
# = \frac{\partial^2 \Lambda}{\partial x_j\, \partial x_i}
# = \frac{\partial^2 \Lambda}{\partial x_i\, \partial x_j}
# = \frac{\partial g_j}{\partial x_i} . $$
#
# (This holds where the second derivatives are continuous. Those of $\Lambda$ would be the first
# derivatives of Eq. 11, which are.) The matrix $J$ with the entries
# $J_{ij} = \partial g_i / \partial x_j$ is called the **Jacobian** of $g$. So: *the Jacobian of a
# gradient is symmetric.* To show that $g$ is not a gradient, it is enough to find one pair $(i, j)$
# with $J_{ij} \ne J_{ji}$.
#
# ### The Jacobian of Eq. 11
#
# For two different pixels, $g_i$ depends on $x_j$ only through $S$ and $T$: its own factor,
# $1 - \sigma_i$ or $\sigma_i$, does not change. Write $d_j = \sigma_j (1 - \sigma_j)$ for the slope
# of $\sigma_j$. If $j$ is crack, both $S$ and $T$ change by $d_j$; if not, only $T$ does. With
# $\frac{d}{dS} \frac{1}{S} = -\frac{1}{S^2}$:
#
# | pixel $i$ | pixel $j$ | $\partial g_i / \partial x_j$ |
# |---|---|---|
# | crack | crack | $\left(\frac{1}{S^2} - \frac{1}{T^2}\right) (1 - \sigma_i)\, d_j$ |
# | crack | other | $-\frac{1}{T^2} (1 - \sigma_i)\, d_j$ |
# | other | crack | $-\frac{1}{T^2}\, \sigma_i\, d_j$ |
# | other | other | $-\frac{1}{T^2}\, \sigma_i\, d_j$ |
#
# Subtract the transposed entry, $J_{ij} - J_{ji}$:
#
# $$ \begin{aligned}
# \text{both crack:} \quad & \left(\tfrac{1}{S^2} - \tfrac{1}{T^2}\right)
# (1 - \sigma_i)(1 - \sigma_j) \\
# & \cdot (\sigma_j - \sigma_i) \\
# \text{neither:} \quad & \tfrac{1}{T^2}\, \sigma_i \sigma_j (\sigma_j - \sigma_i) \\
# i \text{ crack, } j \text{ not:} \quad & \tfrac{1}{T^2} (1 - \sigma_i)\, \sigma_j
# (\sigma_i + \sigma_j - 1)
# \end{aligned} $$
#
# The third is, up to the factor, the difference
#
# $$ \begin{aligned}
# & \sigma_j\, \sigma_i (1 - \sigma_i) - (1 - \sigma_i)\, \sigma_j (1 - \sigma_j) \\
# & = (1 - \sigma_i)\, \sigma_j\, (\sigma_i + \sigma_j - 1).
# \end{aligned} $$
#
# The first parenthesis of the first is positive, because $S < T$. So *in a batch of two pixels or
# more* some difference is not 0, except where all crack pixels share one probability, all others
# share another, and these two add up to 1 (where a batch has both kinds). A little change of one
# logit leads away from there. But a loss would need symmetry everywhere in a neighbourhood, so
# there is none. $\blacksquare$
#
# (With a single pixel there is nothing to compare, and no obstacle: every continuous function of
# one number is the derivative of its integral.)
#
# ### In numbers
#
# Let us compute the Jacobian by complex steps and compare it with the three lines.

# %%


def skew_by_hand(x: Array, crack: Mask) -> Array:
    """J - J.T of Eq. 11, from the three lines."""
    sigma = 1 / (1 + np.exp(-x))
    s, t = sigma[crack].sum(), crack.sum() + sigma.sum()
    i, j = sigma[:, None], sigma[None, :]
    both = (1 / s**2 - 1 / t**2) * (1 - i) * (1 - j) * (j - i)
    neither = i * j * (j - i) / t**2
    mixed = (1 - i) * j * (i + j - 1) / t**2
    on, off = crack[:, None], crack[None, :]
    return np.select([on & off, ~on & ~off, on & ~off], [both, neither, mixed], -mixed.T)


few_x, few_crack = x[:30], crack[:30]
for name, rule in (
    ("Eq. 8", eq8),
    ("cross-entropy", partial(gradient, library.CrossEntropy())),
    ("Eq. 11", eq11),
):
    J = by_complex_steps(lambda z, rule=rule: rule(z, few_crack), few_x)
    print(f"{name:14} |J - J.T| / |J| = {np.linalg.norm(J - J.T) / np.linalg.norm(J):.1e}")
np.testing.assert_allclose(J - J.T, skew_by_hand(few_x, few_crack), atol=1e-15)

# %% [markdown]
# The Jacobians of the two true gradients are symmetric up to rounding. That of Eq. 11 is not: it
# differs from its transpose by a large fraction of its size <!-- holds np.linalg.norm(J - J.T) >
# 0.2 * np.linalg.norm(J) -->, and exactly as the derivation says.
#
# The smallest example can be done on paper: a crack pixel with logit 0 and another pixel with logit
# $\log 3$. Then $\sigma_1 = \frac{1}{2}$, $\sigma_2 = \frac{3}{4}$, $T = 1 + \frac{1}{2} +
# \frac{3}{4} = \frac{9}{4}$, and
#
# $$ J_{12} - J_{21} = \tfrac{16}{81} \cdot \tfrac{1}{2} \cdot \tfrac{3}{4} \cdot \tfrac{1}{4}
# = \tfrac{1}{54} . $$

# %%
pair = np.array([True, False])
J = by_complex_steps(lambda z: eq11(z, pair), np.array([0, np.log(3)]))
print(J)
np.testing.assert_allclose(J[0, 1] - J[1, 0], 1 / 54)

# %% [markdown]
# ### A round trip that gains height
#
# There is a way to *see* this. A loss is like a landscape over the logits, and its gradient is the
# slope. Walk along any path and add up slope times step: the sum is the difference in height. Along
# a closed path it is 0, since you are back where you began. So let us walk around a square in the
# plane of the two logits above, once with Eq. 8 and once with Eq. 11.

# %%
CORNERS = np.array([[-1.0, 1], [2, 1], [2, 4], [-1, 4], [-1, 1]])


def height_gained(rule: Callable[[Array, Mask], Array], steps: int = 200) -> Array:
    """The height after each step of the walk around the square; each side takes ``steps``."""
    sides = [
        start + (end - start) * np.linspace(0, 1, steps + 1)[:-1, None]
        for start, end in pairwise(CORNERS)
    ]
    way = np.concatenate([*sides, CORNERS[-1:]])
    middles, moves = (way[1:] + way[:-1]) / 2, np.diff(way, axis=0)
    slopes = np.array([rule(middle, pair) for middle in middles])
    return np.append(0, np.cumsum(np.sum(slopes * moves, axis=1)))


plane = np.linspace(-4, 5, 100)
x1, x2 = np.meshgrid(plane, plane)
s1, s2 = 1 / (1 + np.exp(-x1)), 1 / (1 + np.exp(-x2))
skew = (1 - s1) * s2 * (s1 + s2 - 1) / (1 + s1 + s2) ** 2

heights = {name: height_gained(rule) for name, rule in (("Eq. 8", eq8), ("Eq. 11", eq11))}
for name, height in heights.items():
    print(f"{name}: height after one round {height[-1]:+.6f}")

fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
limits = np.abs(skew).max()
image = axes[0].pcolormesh(x1, x2, skew, cmap="PuOr", vmin=-limits, vmax=limits, rasterized=True)
fig.colorbar(image, ax=axes[0], label="$J_{12} - J_{21}$", location="bottom")
points = np.linspace(-3.5, 4.5, 9)
arrows = np.array([[-eq11(np.array([a, b]), pair) for a in points] for b in points])
arrows /= np.linalg.norm(arrows, axis=-1, keepdims=True)
axes[0].quiver(points, points, arrows[..., 0], arrows[..., 1], width=0.006)
axes[0].plot(*CORNERS.T, "C2", lw=2)
axes[0].set(xlabel="logit of the crack pixel", ylabel="logit of the other")
for name, height in heights.items():
    axes[1].plot(np.linspace(0, 4, len(height)), height, label=name)
axes[1].axhline(0, color="0.7", lw=1)
axes[1].set(xlabel="sides of the square walked", ylabel="height gained")
axes[1].legend()

# %% [markdown]
# *Figure 5.6. Left, the directions that Eq. 11 asks for (arrows) in the plane of the two logits,
# how far its Jacobian is from symmetric (colour), and the square. Right, the height along the way
# around it. With Eq. 8 the walk ends at the height where it began <!-- holds
# abs(height_gained(eq8)[-1]) < 1e-4 < 0.2 < abs(height_gained(eq11)[-1]) -->. With Eq. 11 it does
# not: a second round would gain as much again, so there is no landscape.*
#
# The two pictures agree: by Green's theorem the height gained in one round is the integral of
# $J_{21} - J_{12}$ over the area of the square. (Around a tiny square of side $h$ it is $h^2
# (J_{21} - J_{12})$: what is gained below and lost above differs by $h \cdot h J_{12}$, and left
# and right by $h \cdot h J_{21}$. In the sum over many tiny squares all inner sides are walked both
# ways and cancel.)

# %%
middle = (np.arange(300) + 0.5) / 100  # of squares of side 0.01
a, b = np.meshgrid(1 / (1 + np.exp(1 - middle)), 1 / (1 + np.exp(-1 - middle)))
area = np.sum((1 - a) * b * (a + b - 1) / (1 + a + b) ** 2) / 100**2
np.testing.assert_allclose(height_gained(eq11)[-1], -area, rtol=1e-4)
print(f"by Green's theorem {-area:+.6f}")

# %% [markdown]
# ### So what does training do?
#
# What happens when a network is trained with a gradient that has no loss? Three things can be said.
#
# - At any one moment the weights are two numbers. With these held fixed, Eq. 11 *is* a gradient:
#   that of a cross-entropy in which each class has its weight. Every step goes downhill on such a
#   loss, but at the next step the loss is a different one. Exercise 5.3 makes this precise.
# - Eq. 11 and Eq. 8 have the same sign for every pixel, as the factor between them, $\sigma_i$ or
#   $1 - \sigma_i$, is positive. So a small step against Eq. 11 lowers $-\log \mathrm{F1}$ as well:
#   not by the steepest path, but downhill. This holds for a step in the *logits*. A network's
#   logits share its parameters, so a step for one pixel moves the others too, and then it is no
#   longer certain.
# - Eq. 11 is zero for a pixel only in the limit where the pixel is right. A pixel that is
#   confidently wrong never comes to rest.
#
# The library reports $-\log \mathrm{F1}$ as the value of `pseudo_f1`, and `exact = False` says that
# its backward pass is not the derivative. `gradcheck` respects that: it checks that the gradient is
# finite and linear in what arrives, and compares it with no derivative. `check_pseudo_f1` checks
# what can be checked instead: each row is a statement of this chapter.

# %%
assert np.all(eq8(x, crack) * eq11(x, crack) > 0)
assert not library.PseudoF1.exact
for rule_name, off_by in check_pseudo_f1().rules.items():
    print(f"{rule_name:28} {off_by:.1e}")

# %% [markdown]
# ## Where it lives
#
# **Now read** some 60 lines: `minispiral.kernels.loss_table.OverlapLoss`,
# `minispiral.kernels.loss_table.F1` and `minispiral.kernels.loss_table.PseudoF1`, the last two of
# which differ in one factor; then `minispiral.kernels.cpu.losses.gradient`, which puts weights and
# factor together for every loss of the library.
#
# - `minispiral.kernels.losses.sums`: $N_1$, $S$ and $A$ of a batch, in float64
# - `minispiral.kernels.losses.gradient`: weights of the two classes times a slope for each pixel
# - `minispiral.kernels.loss_table.F1.value`: Eq. 6, under the logarithm
# - `minispiral.kernels.loss_table.F1.weights`: the sizes of Eq. 7, which are Eq. 12
# - `minispiral.kernels.loss_table.OverlapLoss.slope`: the other factor of Eq. 8
# - `minispiral.kernels.loss_table.Linear`: Eq. 9
# - `minispiral.kernels.loss_table.CrossEntropy`: Eq. 10
# - `minispiral.kernels.loss_table.PseudoF1.slope`: the other factor of Eq. 11
# - `minispiral.losses.f1_loss`, `minispiral.losses.pseudo_f1`: the two on the tape
# - `minispiral.gradcheck.check_pseudo_f1`, `minispiral.gradcheck.pseudo.skew_by_hand`: the claims
#   of this chapter, checked
#
# ## To read on
#
# - M. Jansche, *Maximum Expected F-Measure Training of Logistic Regression Models*, HLT/EMNLP 2005.
#   Eq. 6 and its derivative, fifteen years before and for a model with a handful of weights.
# - T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, *Focal Loss for Dense Object Detection*,
#   ICCV 2017. The rival of Table 4: weights that depend on the pixel instead of the batch.
# - F. Milletari, N. Navab and S.-A. Ahmadi, *V-Net: Fully Convolutional Neural Networks for
#   Volumetric Medical Image Segmentation*, 3DV 2016. A true gradient of a relative of the soft F1,
#   the *Dice* loss, which is what most people use today.
#
# ## Exercises
#
# Write each function into a file `answer.py` and run `minispiral exercise 5.1 answer.py`. In all
# three, `logits` is a float64 array and `crack` a boolean array of the same shape, True on crack,
# with at least one pixel of each kind. Do not change them.
#
# ### Exercise 5.1 ★★
#
# If a missed crack is worse than a false alarm, recall should count more. That is what $F_\beta$
# does, where recall counts $\beta$ times as much as precision:
#
# $$ F_\beta = \frac{(1 + \beta^2)\, \mathrm{prec} \cdot \mathrm{rec}}
# {\beta^2\, \mathrm{prec} + \mathrm{rec}} $$
#
# Insert Eq. 4 and 5 as above, and derive the weights of $L = -\log F_\beta$. Write
# `f_beta_weights(logits, crack, beta)`. It returns a pair of numbers:
# $|\partial L / \partial \sigma_i|$ for a crack pixel, and that for any other pixel. For `beta = 1`
# they are those of Eq. 7.
#
# ### Exercise 5.2 ★★
#
# Another common score for masks is the intersection over union, or IoU, $TP / (TP + FP + FN)$.
# With probabilities it becomes $S / (N_1 + A - S)$.
#
# Derive the corresponding pseudo-gradient as in Eq. 11: the absolute derivatives of
# $L = -\log \mathrm{IoU}$ with respect to $\sigma_i$, times the gradient of the cross-entropy of
# Eq. 10. Write `pseudo_iou(logits, crack)`. It returns the gradient, an array of the shape of
# `logits`. It must be right to ten digits, without a warning from NumPy, for logits between $-1000$
# and $1000$; at least one crack pixel has a positive logit.
#
# ### Exercise 5.3 ★
#
# "With the weights held fixed, Eq. 11 is the gradient of a weighted cross-entropy." Write that
# loss: `frozen_loss(logits, frozen, crack)`. The weights of Eq. 7 are taken at the logits `frozen`,
# and the cross-entropy of Eq. 10 at `logits`. It returns one number, the sum over all pixels of
# weight times cross-entropy (not divided by the number of pixels). Where `logits` equals `frozen`,
# its derivative with respect to `logits` must be Eq. 11 at that point. Logits are between $-10$ and
# $10$.
#
# ### On paper
#
# **A.** A network gives every crack pixel the probability $q$ and every other pixel 0. Find its
# soft F1, the weights of Eq. 7 and the ratio $r$ of Eq. 13. What happens for $q \to 0$ and
# $q \to 1$?
#
# **B.** A network consists of nothing but a bias: all pixels get the same logit, and so all
# $\sigma_i$ are one number $\sigma$. A fraction $p$ of the pixels is crack. The slope of the loss
# by the bias is the sum of the gradients of all pixels. Where does the bias come to rest, in terms
# of $\sigma$, with cross-entropy (Eq. 10), with Eq. 8 and with Eq. 11? Evaluate for $p = 1/50$.
# What does each of the three networks say of a pixel, and which of them needs the least evidence to
# change its mind?
#
# **C.** Let a batch consist of crack pixels only, two or more, and let a rule give them
# $g_i = \varphi(S)\, k(\sigma_i)$: a weight that depends on the batch, through $S$, times a slope
# that depends on the pixel. The derivative of $\varphi$ is nowhere 0. For which slopes $k$ is the
# Jacobian symmetric? Which loss has this gradient then? Say what $\varphi$ and $k$ are in Eq. 8 and
# in Eq. 11, and which assumption does not hold in exercise 5.3.
#
# ### Experiment
#
# Make the pictures of the tiny training harder, by more noise or by dark spots that are no cracks,
# and train by plain gradient descent instead of Adam. Where does Eq. 8 fall behind Eq. 11? Say
# beforehand what you expect.
