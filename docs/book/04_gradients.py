# %% [markdown]
# # 4. How to know a gradient is right
#
# After this chapter you can
#
# - compute a derivative without any backward pass, and say how many of its digits to trust;
# - get all digits of it with one complex number;
# - check a gradient of a million elements with one number;
# - say what a kink does to such a check, and avoid it;
# - check the checker: plant a bug, and see that it is caught.
#
# It takes about an hour. You need chapter 1 (the tape) and Taylor's formula. The operations of
# chapter 2 (convolution) and chapter 3 (batch norm) serve as examples to check.

# %% [markdown]
# ## The idea
#
# A wrong gradient rarely looks wrong. Nothing crashes. The loss still falls, because any direction
# that points roughly downhill makes it fall. The network is only a little worse than it could be,
# and nobody notices. So a gradient must be checked, by something that shares nothing with the code
# that computed it.
#
# Such a thing exists: the definition of the derivative. Move the input a little, run the *forward*
# pass again, and see how the output changes. No backward pass is involved. This chapter is about
# doing that well.
#
# Here is the danger in a few lines: we fit a straight line to points, and one of the two gradients
# is ten times too small.

# %%
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from textwrap import dedent
from types import FunctionType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from minispiral import losses, ops
from minispiral.gradcheck import Report, gradcheck
from minispiral.kernels import conv2d, loss_table, reference
from minispiral.kernels.cpu import batchnorm, conv2d_pixels
from minispiral.tensor import Function

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
rng = np.random.default_rng(4)

u = rng.standard_normal(50)
target = 2 * u + 1 + 0.1 * rng.standard_normal(50)
slope, offset = 0.0, 0.0
for step in range(31):
    error = slope * u + offset - target
    if step % 10 == 0:
        print(f"step {step:2}: loss {np.mean(error**2):.4f}")
    slope -= 0.1 * 2 * np.mean(error * u)
    offset -= 0.1 * 0.2 * np.mean(error)  # should be 2 * np.mean(error)

# %% [markdown]
# The loss falls to a fraction of what it was, step after step. Nobody would suspect a bug from the
# loss alone. (It still has far to go: the noise alone would give 0.01 <!-- = 0.1**2 -->.)
#
# ## Differences, and the step-size curve
#
# Let $f$ be a function of one number $x$. Its derivative is the limit of a quotient. A computer
# cannot take limits, so take a small step $h$:
#
# $$ \begin{aligned}
# D^+(h) &= \frac{f(x + h) - f(x)}{h}, \\[0.8ex]
# D(h) &= \frac{f(x + h) - f(x - h)}{2h} .
# \end{aligned} $$
#
# The first is the *forward difference*, the second the **central difference**. How far are they
# from $f'(x)$? Taylor's formula says what a smooth function is near $x$, from its derivatives at
# $x$:
#
# $$ \begin{aligned}
# f(x + h) = f(x) &+ h f'(x) + \frac{h^2}{2} f''(x) \\
# &+ \frac{h^3}{6} f'''(x) + \dots
# \end{aligned} $$
#
# It says that
#
# $$ \begin{aligned}
# D^+(h) &= f'(x) + \frac{h}{2} f''(x) + \dots, \\
# D(h) &= f'(x) + \frac{h^2}{6} f'''(x) + \dots
# \end{aligned} $$
#
# In the central difference the term with $f''$ cancels. So the error, called the *truncation
# error*, shrinks with $h^2$ instead of $h$. The smaller $h$ the better, then?
#
# No. Each value of $f$ is rounded. In float64 the relative error is about $\varepsilon = 10^{-16}$,
# in float32 about $10^{-7}$. The two values are nearly equal, and subtracting them leaves mostly
# their rounding errors, which are then divided by $h$. This part of the error is about
# $\varepsilon |f(x)| / h$: it *grows* as $h$ shrinks.
#
# The best step balances the two errors. For the central difference $h^2 \approx \varepsilon / h$,
# so $h \approx \varepsilon^{1/3} \approx 10^{-5}$, and the error there is about $10^{-11}$. For the
# forward difference $h \approx \varepsilon / h$, so $h \approx \varepsilon^{1/2} \approx 10^{-8}$,
# with an error of about $10^{-8}$. At best, the forward difference loses half of the sixteen
# digits, and the central difference a third.
#
# **Richardson extrapolation** buys a few more digits. Take the central difference twice, with $h$
# and with $h/2$. The second has a quarter of the first one's leading error. So
#
# $$ R(h) = \frac{4 D(h/2) - D(h)}{3} $$
#
# is free of it: $\frac{1}{3}(4 \cdot \frac{h^2}{4} - h^2) = 0$. What is left is of order $h^4$, so
# we can take a larger step, which suffers less from rounding.
#
# ### The complex step
#
# The trouble is the subtraction. There is a way to avoid it. A *complex number* $a + ib$ has two
# parts, the real one, $a$, and the imaginary one, $b$, and one computes with it as usual, with $i^2
# = -1$. (Python writes `1j` for $i$; NumPy knows such numbers.) Let $h$ be real, and put $x + ih$
# into $f$. Taylor's formula holds for complex numbers too, if $f$ is *analytic* (made of sums,
# products, quotients, exponentials, logarithms and the like):
#
# $$ \begin{aligned}
# f(x + ih) = f(x) &+ ih f'(x) - \frac{h^2}{2} f''(x) \\
# &- \frac{i h^3}{6} f'''(x) + \dots
# \end{aligned} $$
#
# Let $f$ also be *real on the real axis*: for a real $x$ it gives a real number. Then so are all
# its derivatives, and the terms alternate between real and imaginary. Take the imaginary part,
# written $\operatorname{Im}$, and divide by $h$:
#
# $$ \frac{\operatorname{Im} f(x + ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \dots $$
#
# This is the **complex step**. The value $f(x)$ and the derivative travel in separate parts of the
# number, and nothing is subtracted. So $h$ can be as small as floating-point numbers go. With $h =
# 10^{-40}$ the truncation error is of order $10^{-80}$: none at all.
#
# (Without that condition the parts would mix. $f(x) = i x^2$ is analytic, with the derivative
# $2ix$; but $\operatorname{Im} f(x + ih) / h = x^2/h - h$, which grows without bound. A network has
# real weights and gives real answers, so the condition holds there.)
#
# As an example take the cross-entropy of one background pixel with logit $x$,
# $f(x) = \log(1 + e^x)$. Its derivative is the sigmoid.


# %%
def f(x: Any) -> Any:
    return np.log(1 + np.exp(x))


def forward(h: Any, x: Any) -> Any:
    return (f(x + h) - f(x)) / h


def central(h: Any, x: Any) -> Any:
    return (f(x + h) - f(x - h)) / (2 * h)


def richardson(h: Any, x: Any) -> Any:
    return (4 * central(h / 2, x) - central(h, x)) / 3


def complex_step(h: Any, x: Any) -> Any:
    return np.imag(f(x + 1j * h)) / h


point = 1.3
truth = 1 / (1 + np.exp(-point))
for name, way, h in (
    ("forward", forward, 1e-8),
    ("central", central, 1e-5),
    ("Richardson", richardson, 1e-3),
    ("complex step", complex_step, 1e-40),
):
    print(f"{name:13} h = {h:5.0e}   error {abs(way(h, point) - truth) / truth:.1e}")

# %%
steps = np.logspace(-15, 0, 300)
ways = {
    "forward": forward,
    "central": central,
    "Richardson": richardson,
    "complex step": complex_step,
}
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, way in ways.items():
    off = np.abs(way(steps, point) - truth) / truth
    line = "--" if name == "complex step" else "-"  # for large h it lies on the central difference
    ax.loglog(steps, np.maximum(off, 5e-17), line, label=name, lw=1)  # 0 has no logarithm
single = steps[steps > 1e-6].astype(np.float32)
off = np.abs(central(single, np.float32(point)) - truth) / truth
ax.loglog(single, off, "k:", label="central, float32", lw=1)
ax.set(xlabel="step h", ylabel="relative error")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# *Figure 4.1. The step-size curve. From right to left, each error falls with the slope that
# Taylor's formula predicts: 1, 2 or 4. Where rounding takes over, it turns and rises again. The
# complex step never turns. In float32 (dotted) the best that a difference can be trusted with is 4
# or 5 digits <!-- holds 1e-6 < np.median(off[(single > 3e-3) & (single < 3e-2)]) < 1e-4 -->.*
#
# ![The relative error of both differences and of the complex step, for each step
# h](figures/step.svg)
#
# *To touch, on the site. The same for other functions, in float64 and in float32, with what each
# way gives at the step of the upright line: digits in bold are right. (How to take the complex step
# of $|x|$ is said below.) Which step is best for the central difference in float32, and how many
# digits has it there? For which function has neither difference a truncation error, and why? Bring
# the point near the corner of that function: from which step on is the central difference wrong?*
#
# `gradcheck` refuses float32: a check whose own error is $10^{-4}$ cannot tell a wrong gradient
# from a right one. Verify in float64, then train in float32 with the same code.
#
# ### What the complex step needs
#
# Every operation along the way must be analytic, real on the real axis, and must accept complex
# numbers. Three operations are not analytic, and fail silently:


# %%
def derivative(f: Callable[[Any], Any], x: Any, h: float = 1e-40) -> Any:
    return np.imag(f(x + 1j * h)) / h


print("abs at -3:       ", derivative(np.abs, -3.0), " should be -1")
print("z times conj(z): ", derivative(lambda z: z * np.conj(z), 3.0), " should be 6, as for x**2")
print("np.real(z) ** 2: ", derivative(lambda z: np.real(z) ** 2, 3.0), " should be 6")

# %% [markdown]
# `np.abs` of a complex number is its length, and drops the sign that carries the derivative. The
# remedy is to decide by the real part and to keep the complex number (Exercise 4.2). ReLU is
# handled that way: where the real part is positive the number passes, otherwise it becomes 0.
#
# `gradcheck` guards against such functions. When a complex step and back-propagation disagree, it
# asks central differences which is right before it blames the backward pass.

# %%
z = np.array([-2.0, 3.0]) + 1e-40j
print(np.where(z.real > 0, z, 0).imag / 1e-40)  # the derivative of ReLU: 0 and 1

# %% [markdown]
# ## One number for a million elements
#
# An operation takes arrays $x$ and returns an array $y = F(x)$. Its backward pass takes `gy`, here
# $g^y$, and returns the vector-Jacobian product $g^x$. What is that the derivative of? It is the
# derivative of the single number
#
# $$ \ell(x) = \langle g^y, F(x) \rangle = \sum_k g^y_k\, F_k(x), $$
#
# for any fixed $g^y$. So pick $g^y$ at random. Then one could move each element of $x$ separately
# and compare with that element of $g^x$. For a weight array of a million elements that takes a
# million forward passes.
#
# Instead, move all elements at once along a random direction $v$. The chain rule says
#
# $$ \frac{d}{dt}\, \ell(x + t v) \Big|_{t=0} = \langle g^x, v \rangle . $$
#
# On the left is one forward pass with a complex step, on the right one inner product: two numbers
# that must agree. (The library's kernels want one dtype for all arrays, and `w + 0j` is `w` as
# complex numbers.)


# %%
def directional(F: Callable[[Array], Array], x: Array, gy: Array, v: Array) -> float:
    """The derivative of sum(gy * F(x + t v)) with respect to t, at t = 0."""
    return float(np.sum(gy * F(x + 1e-40j * v).imag) / 1e-40)


x = rng.standard_normal((2, 15, 15, 8))
w = rng.standard_normal((3, 3, 8, 4))
gy = rng.standard_normal((2, 7, 7, 4))
gx = conv2d.conv2d_input_grad(gy, w, (15, 15), stride=2)
for _ in range(3):
    v = rng.standard_normal(x.shape)
    numeric = directional(lambda x: conv2d.conv2d(x, w + 0j, stride=2), x, gy, v)
    print(f"back-propagation {np.sum(gx * v):.12f}   complex step {numeric:.12f}")
    np.testing.assert_allclose(np.sum(gx * v), numeric, rtol=1e-9)

# %% [markdown]
# ### Can one number be enough?
#
# Suppose the gradient is wrong by $\delta$, an array that is not all zeros. The check sees $\langle
# \delta, v \rangle$. With the elements of $v$ from a *normal distribution*, the bell-shaped curve
# with mean 0 and standard deviation 1, this number is normally distributed too,
# and its standard deviation is $|\delta|$, the length of $\delta$: the variances $\delta_i^2$ of
# its terms add up. The error is missed only if this number happens to lie below the tolerance. A
# normal variable of deviation $|\delta|$ lies within $\pm\tau$ with a probability of at most $0.8\,
# \tau / |\delta|$, where $0.8 = \sqrt{2/\pi}$: its density is nowhere above $1 / (\sqrt{2\pi}\,
# |\delta|)$, and the interval is $2\tau$ wide.
#
# Let the tolerance be $10^{-10}$ and the error a thousandth, both relative to the size of the
# gradient. Then the chance of missing it is about one in ten million <!-- holds 0.5e-7 < np.sqrt(2
# / np.pi) * 1e-10 / 1e-3 < 2e-7 -->, and that is with a single direction.
#
# The point must be random. Weights that are all 0, or an image of equal pixels, hide whatever is
# multiplied by 0 or cancels, and a square image with as many channels as rows hides exchanged axes.
# So give `gradcheck` random numbers of both signs, and sides that differ.
#
# The direction must be random, too. It is tempting to use $v = (1, 1, \dots, 1)$, which compares
# the sum of all elements. But many bugs do not change the sum: elements in the wrong order, for
# instance.

# %%
turned = gx[:, ::-1]  # a bug: the gradient is upside down
delta = turned - gx
ones, normals = np.ones(x.shape), rng.standard_normal((2000, x.size))
print(f"along ones:            off by {np.sum(delta * ones):.1e}")
print(f"along a random v:      off by {np.sum(delta * normals[0].reshape(x.shape)):.1e}")

seen = np.abs(normals @ delta.ravel()) / np.linalg.norm(delta)
tau = np.logspace(-4, 0.5, 50)
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.loglog(tau, [np.mean(seen < t) for t in tau], "o", ms=4, label="2000 random directions")
ax.loglog(tau, np.minimum(np.sqrt(2 / np.pi) * tau, 1), label=r"$0.8\,\tau\,/\,|\delta|$")
ax.set(
    xlabel=r"tolerance $\tau$ / size of the error $|\delta|$", ylabel="share that misses the bug"
)
ax.legend()

# %% [markdown]
# *Figure 4.2. How often a bug is missed, counted over 2000 random directions, compared with the
# bound. Each factor of ten between the tolerance and the error makes a miss ten times rarer. (Left
# of about $10^{-3}$ none of the 2000 missed it <!-- holds 1e-4 < seen.min() < 3e-3 -->.)*
#
# So `gradcheck` tries three random directions for each input <!-- holds
# inspect.signature(gradcheck).parameters["directions"].default == 3 -->. Only if one disagrees does
# it look at single elements, to say which are wrong and what they have in common.
#
# The other half of the answer is the tolerance. Two sums of many terms never agree to the last bit,
# so `gradcheck` looks at the relative error. Relative to what? The number itself may happen to be
# nearly 0. A sum of terms of random signs has a typical size, the root of the sum of their squares,
# which is about $|g^x|\,|v| / \sqrt{m}$ for $m$ elements. The error is taken relative to that, or
# to the number itself if it is larger.
#
# ## Kinks
#
# ReLU has a corner at 0, a **kink**: the slope is 0 on the left and 1 on the right. At the kink
# itself there is no derivative. That alone would not matter, since a random point never lies
# exactly there. But a central difference spans an interval, from $x - h$ to $x + h$. If a kink lies
# inside, it mixes both slopes and is wrong, however right the gradient is.

# %%
units = rng.standard_normal(20)  # the inputs of 20 ReLUs
move = rng.standard_normal(20)  # one direction for all


def relus(t: Any) -> Any:
    return np.sum(np.maximum(units + t * move, 0))


slope_here = float(np.sum(move * (units > 0)))
kinks = np.sort(np.abs(units / move))  # how far each ReLU is from its kink, in steps of t
h = np.logspace(-4, 0.3, 400)
estimate = np.array([(relus(t) - relus(-t)) / (2 * t) for t in h])
print(f"the nearest kink is {kinks[0]:.4f} away")

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.semilogx(h, estimate, label="central difference")
ax.axhline(slope_here, color="C1", ls="--", label="back-propagation")
for k in kinks[kinks < h[-1]]:
    ax.axvline(k, color="0.8", lw=1, zorder=0)
ax.set(xlabel="step h", ylabel="derivative along v")
ax.legend()

# %% [markdown]
# *Figure 4.3. The derivative of a sum of 20 ReLUs along a direction. A grey line marks a step size
# at which one more of them crosses its kink. For steps shorter than the first such line the
# difference is right. For longer ones it is wrong, except where several errors happen to cancel.*
#
# How can a check tell a kink from a bug? By a property of smooth functions that a kink destroys:
# with a smaller step the result hardly changes. So `gradcheck` computes Richardson's value with two
# step sizes. It also compares the slopes to the left and to the right of $x$, which converge as the
# step shrinks, unless $x$ lies on a kink. If either test fails, the step is divided by 16 until the
# kink lies outside.
#
# Here is the idea in its smallest form.


# %%
def around_kinks(f: Callable[[float], float], h: float = 2.0**-2) -> tuple[float, int]:
    """The derivative of f at 0, and how often the step had to be reduced."""
    for cuts in range(5):
        coarse, middle, fine = ((f(t) - f(-t)) / (2 * t) for t in (h, h / 2, h / 4))
        estimate, finer = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
        if abs(finer - estimate) <= 1e-7:
            return finer, cuts
        h /= 16
    raise ValueError("a kink at the point itself")


found, cuts = around_kinks(relus)
print(f"differences {found:.9f}, back-propagation {slope_here:.9f}, cut {cuts} times")
np.testing.assert_allclose(found, slope_here, rtol=1e-6)

# %% [markdown]
# The more ReLUs, the closer the nearest kink. A network with a million of them has one within *any*
# step that differences can use. The complex step is different: it moves only the imaginary part.
# The real part stays where it is, so no ReLU switches. That is why networks are checked by the
# complex step.
#
# ## What a derivative cannot show
#
# Suppose the forward pass itself is wrong, and the backward pass is the correct derivative of that
# wrong function. Then every derivative agrees. So the forward pass needs an *oracle*: the same
# operation written again in the plainest way, as in `kernels/reference.py`.
#
# Other faults are in how a backward pass behaves. `gradcheck` has a test for each:
#
# - it must be **linear** in `gy`: twice the `gy`, twice the gradient. This holds for every
#   function, and exposes sums in float32, noise and hidden constants.
# - it must give **the same bits** twice, and zeros for a zero `gy`;
# - it must **change nothing**: not its inputs, not its output, not `gy`;
# - no two gradients may **share memory**, or adding to one changes the other.
#
# Some faults break several of these rules at once:


# %%
class LeakySquare(Function):
    """x**2; its backward pass hides a little of the penalty of chapter 1."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * x

    def backward(self, gy: Array) -> Array:
        return 2 * self.x * gy + 1e-4 * self.x


leaky = gradcheck(lambda x: LeakySquare()(x), [rng.standard_normal(5)], name="leaky square")
for problem in leaky.problems:
    print(f"{problem.rule}: {problem.message}")

# %% [markdown]
# ## Planted bugs
#
# A checker that has never failed proves nothing: perhaps it cannot fail. So break the code on
# purpose and see. To *plant* a bug, take the source of a function, change one line of it, and swap
# in the changed code for the duration of a `with` block. This is known as *mutation testing*.


# %%
@contextmanager
def planted(function: FunctionType, old: str, new: str) -> Iterator[None]:
    """Within this block, ``old`` in the source of the function is replaced by ``new``."""
    source = dedent(inspect.getsource(function))
    assert source.count(old) == 1
    scope = dict(function.__globals__)
    exec(source.replace(old, new), scope)
    kept = function.__code__
    function.__code__ = scope[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = kept


# %% [markdown]
# The checks: a convolution, batch norm and the F1 loss of chapter 5, each with the real code of the
# library. The first two have an oracle: the loops, and NumPy's own mean and variance.

# %%
Check = Callable[[], Report]
image, weights = rng.standard_normal((2, 7, 9, 3)), rng.standard_normal((3, 3, 3, 4))
features = rng.standard_normal((2, 3, 4, 2))
gamma, beta = np.array([0.7, 1.2]), np.array([0.1, -0.3])
logits, crack = rng.standard_normal((3, 4)), np.arange(12).reshape(3, 4) % 5 == 0


def normalized(x: Array, gamma: Array, beta: Array) -> Array:
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


def check_conv2d() -> Report:
    return gradcheck(
        lambda x, w: ops.conv2d(x, w, stride=2),
        {"x": image, "w": weights},
        oracle=lambda x, w: np.asarray(reference.conv2d(x, w, 2)),
    )


def check_batch_norm() -> Report:
    inputs = {"x": features, "gamma": gamma, "beta": beta}
    return gradcheck(ops.batch_norm, inputs, oracle=normalized)


def check_f1_loss() -> Report:
    return gradcheck(lambda logits: losses.f1_loss(logits, crack), {"logits": logits})


for check in (check_conv2d, check_batch_norm, check_f1_loss):
    report = check()
    assert report.passed
    print(f"{check.__name__:17} passed, error {report.error:.0e}, tolerance {report.tolerance:.0e}")

# %% [markdown]
# And six bugs. Each changes a few characters. **Predict**, before you run it: which one passes
# every check of a derivative?

# %%
input_grad, norm_grad = conv2d_pixels.conv2d_input_grad, batchnorm.normalize_grad
last_row = (input_grad, "gy = np.ascontiguousarray(gy)", "gy = gy.copy(); gy[:, -1] = 0")
bugs: dict[str, tuple[Check, list[tuple[Any, str, str]]]] = {
    "last row of gy left out": (check_conv2d, [last_row]),
    "kernel upside down": (
        check_conv2d,
        [(input_grad, "w.reshape(-1, conv.small)", "w[::-1].reshape(-1, conv.small)")],
    ),
    "mean taken as constant": (
        check_batch_norm,
        [(norm_grad, "-a * all_gbeta / m - b * mean", "-b * mean")],
    ),
    "eps left out": (check_batch_norm, [(norm_grad, "+ eps", "+ 0")]),
    "no slope of sigmoid": (
        check_f1_loss,
        [(loss_table.OverlapLoss.slope, " * sigmoid(-t)", "")],
    ),
    "eps twice, both passes": (
        check_batch_norm,
        [
            (norm_grad, "+ eps", "+ 2 * eps"),
            (batchnorm.scale_shift, "+ eps", "+ 2 * eps"),
        ],
    ),
}
reports = {}
for bug, (check, edits) in bugs.items():
    with ExitStack() as stack:
        for edit in edits:
            stack.enter_context(planted(*edit))
        reports[bug] = check()
    assert not reports[bug].passed  # it must be caught
    problem = reports[bug].problems[0]
    print(f"{bug} (error {reports[bug].error:.0e})\n    {problem.rule}: {problem.message}")
    assert check().passed  # and it is gone again

# %% [markdown]
# Look at what each report says. The first names rows of the image. The forgotten mean makes *every*
# element wrong. So does the forgotten eps, but only in the fifth digit, which a check in float32
# could hardly tell from rounding. The last bug passes all derivative checks: only the oracle
# catches it.
#
# A report also lists the elements. Here they are as a picture: all elements under the first bug,
# for one image and one channel.

# %%
with planted(*last_row):
    wrong = conv2d.conv2d_input_grad(gy, w, (15, 15), stride=2)
right = np.empty_like(wrong[0, ..., 0])
for at in np.ndindex(15, 15):
    one = np.zeros(x.shape)
    one[0, at[0], at[1], 0] = 1
    right[at] = directional(lambda x: conv2d.conv2d(x, w + 0j, stride=2), x, gy, one)

fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained", gridspec_kw={"wspace": 0.15})
off = np.abs(wrong[0, ..., 0] - right) / np.abs(right).max()
image_of_errors = axes[0].imshow(np.log10(np.maximum(off, 1e-17)), vmin=-17, vmax=0)
fig.colorbar(image_of_errors, ax=axes[0], label="log10 of the relative error")
axes[0].set(xlabel="column of gx", ylabel="row of gx", xticks=[0, 5, 10], yticks=[0, 5, 10])
found = [name for name in reports if reports[name].problems[0].rule == "derivative"]
axes[1].barh(found, [reports[name].error for name in found], color="C3")
axes[1].set(xscale="log", xlim=(1e-11, 30), xlabel="relative error")
axes[1].axvline(report.tolerance, color="0.4", ls="--")
axes[1].text(2 * report.tolerance, len(found) - 0.45, "tolerance", va="bottom")
axes[1].set_ylim(-0.6, len(found))

# %% [markdown]
# *Figure 4.4. Left, the error of each element of `gx` when the last row of `gy` is left out: the
# last three rows are wrong, since a kernel of three rows reaches that far. All others are right up
# to rounding. Right, the largest error of each bug that a derivative reveals, compared with the
# tolerance.*
#
# The repository has 91 <!-- = len(resolve_name("tests.bugs").BUGS) --> such bugs in `tests/bugs/`;
# `python -m tests.bugs` plants them one by one. All are caught, and `docs/verification.md` says by
# what. Six of them <!-- holds sum(bool(bug.test) for bug in
# resolve_name("tests.bugs").BUGS.values()) == 6 -->, such as a wrong momentum of the running
# statistics, show in no gradient and no value that `gradcheck` looks at. Property tests, which try
# on random inputs what must always hold, catch those: one must know what a checker cannot see, and
# check it in another way.
#
# ## Your own function
#
# Everything above comes in one call. Give it a function of tensors and its float64 inputs:

# %%
report = gradcheck(
    lambda x, w: ops.relu(ops.conv2d(x, w, stride=2)), [image, weights], name="conv, then ReLU"
)
assert report.passed, report
print(report)

# %% [markdown]
# `minispiral gradcheck` does this for every operation, layer, loss and network of the library, in
# under a minute. One case is not a derivative at all: the pseudo-gradient of Eq. 11 is checked by
# rules of its own. It is the subject of the next chapter.
#
# ## Where it lives
#
# **Now read** some 70 lines: `minispiral.gradcheck.derivatives.complex_step` and
# `minispiral.gradcheck.derivatives.central_difference`, in which you will find the kinks again;
# then `minispiral.gradcheck.comparison.Slopes.direction` and
# `minispiral.gradcheck.comparison.Slopes.compare`, which say how far apart two derivatives are.
#
# - `minispiral.gradcheck.gradcheck`: the call, and the rules of behaviour
# - `minispiral.gradcheck.derivatives.complex_step`,
#   `minispiral.gradcheck.derivatives.central_difference`: two ways to compute a derivative
# - `minispiral.gradcheck.comparison.Slopes.direction`,
#   `minispiral.gradcheck.comparison.Slopes.compare`: random directions, and the scale of the errors
# - `minispiral.gradcheck.report.Report`: what was found
# - `minispiral.gradcheck.check_library`: everything in the library
#
# ## To read on
#
# - W. Squire and G. Trapp, *Using Complex Variables to Estimate Derivatives of Real Functions*,
#   SIAM Review 40, 1998. Three pages that made the complex step known; note the *real* in the
#   title.
# - J. R. R. A. Martins, P. Sturdza and J. J. Alonso, *The Complex-Step Derivative Approximation*,
#   ACM Transactions on Mathematical Software 29, 2003. How to use it in a large program, and which
#   functions must be written anew for it.
# - R. A. DeMillo, R. J. Lipton and F. G. Sayward, *Hints on Test Data Selection: Help for the
#   Practicing Programmer*, Computer 11, 1978. Where mutation testing comes from.
#
# ## Exercises
#
# Write each function into a file `answer.py` and run `minispiral exercise 4.1 answer.py`.
#
# ### Exercise 4.1 ★
#
# Write `richardson(f, x, v, h)`. Here `f` takes a float64 array and returns a number, `x` is such
# an array, and `v` a direction of the same shape. Return $R(h) = \frac{1}{3}\,(4 D(h/2) - D(h))$
# with the central difference *along* $v$, $D(h) = \frac{1}{2h}\,(f(x + h v) - f(x - h v))$. Do not
# change `x`.
#
# ### Exercise 4.2 ★★
#
# Write `absolute(z)`. For a real array it returns $|x|$ of each element. For a complex array it
# must support the complex step: for $z = x + ih$ with a tiny $h$ of either sign, the imaginary part
# of the result over $h$ is the derivative of $|x|$, which is $1$ for $x > 0$ and $-1$ for $x < 0$.
# The elements of $x$ are not 0, but may be as small or as large as $10^{\pm 200}$.
#
# ### Exercise 4.3 ★★
#
# Write `wrong_elements(f, gradient, x)`. `f` is analytic and real on the real axis: it takes an
# array, real or complex, and returns a number. `gradient` claims to be its gradient at the float64
# array `x`, and has the same shape. Return a boolean array of that shape, True where an element of
# `gradient` is off by more than $10^{-9}$ times the largest element of the true gradient. Some
# errors will be only ten times that, and some functions are so curved that no difference quotient
# comes that close.
#
# ### On paper
#
# **A.** Compute the complex step of $f(x) = x^3$ by hand, without leaving anything out. How large
# is its error, and which $h$ makes it vanish in float64 at $x = 1$?
#
# **B.** A difference formula of *order* $p$ has the truncation error $C h^p$ and, from rounding,
# the error $\varepsilon F / h$; $C$ and $F$ depend on the function. Find the step with the smallest
# sum of the two, and show that there the first is $1/p$ of the second. With $C = F = 1$, how many
# of 16 digits, and how many of 7, are left for $p = 1$, 2 and 4? Which order would lose only one
# digit of 16? Why does nobody use it?
#
# **C.** Somebody wants the directions $v$ to consist of random signs, $+1$ or $-1$ with the same
# probability, instead of normal numbers. "The mean square of $\langle \delta, v \rangle$ is
# $|\delta|^2$ all the same." Check that. Then find a plausible bug which one such direction misses
# with the probability $\frac{1}{2}$, and show that no wrong gradient is missed more often. (A miss
# is $\langle \delta, v \rangle = 0$ here.) How likely is a miss with three directions? How many
# would it take for one in ten million?
#
# ### Experiment
#
# Plant a bug of your own that `gradcheck` does not see, in an operation or in batch norm. What
# would a test have to compare to see it?
