# %% [markdown]
# # 1. A tape in sixty lines
#
# After this chapter you can
#
# - take the derivative of any program that is made of simple steps, by hand;
# - write the sixty lines that do it for you, and say why they visit each step once;
# - say what happens to the gradient of a value that is used twice, or broadcast along an axis;
# - add an operation of your own to minispiral, even one that has no useful derivative.
#
# It takes about an hour and a half. You need the chain rule, classes in Python, and NumPy's arrays.

# %% [markdown]
# ## The idea
#
# A network that finds cracks is a program. It takes a photograph and many adjustable numbers, the
# **weights**, and computes for each pixel how likely it is crack. Comparing that with the truth
# gives a single number that says how wrong the network is, the **loss**. Training makes the loss
# small. For that we have to know, for *each* weight, whether the loss goes up or down when that
# weight goes up a little, and how much: the derivative of the loss with respect to the weight. All
# these derivatives together are the **gradient**.
#
# One could simply try: change one weight a little, run the program, and see what happens to the
# loss. But the network of the paper has 41,625,942 <!-- =
# resolve_name("minispiral.networks.describe").describe("spiral").parameters --> weights. A single
# training step would take as many runs.
#
# There is a far better way. The program is a sequence of simple steps: a product, a sum, a
# logarithm. While it runs, record the steps on a **tape**. Then walk the tape *backwards*, from the
# loss to the weights, and ask one small question at each step: if we know how the loss changes with
# the result of this step, how does it change with the inputs of the step? One walk gives the
# derivative with respect to every number that the program has touched, and takes about twice as
# long as the run itself. In numerical mathematics this is *reverse-mode automatic differentiation*;
# in machine learning it is **back-propagation**.
#
# We do it by hand first, then with a list of functions, and then with two classes that work like
# the library's.

# %%
import itertools
import math
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from minispiral import ops
from minispiral import tensor as library
from minispiral.gradcheck import gradcheck

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
rng = np.random.default_rng(1)

# %% [markdown]
# ## One pixel, by hand
#
# Take a single pixel with darkness $x$, from 0 (white) to 1 (black). Our network has two weights,
# $w$ and $b$; the second, which is added, is called a **bias**. It computes the **logit** $z = wx +
# b$, and from it the probability that the pixel is crack,
#
# $$ p = \frac{1}{1 + e^{-z}}. $$
#
# This function is called the **sigmoid**. A large logit makes $p$ nearly 1, a very negative one
# nearly 0. Say that the pixel *is* crack. Then $p$ should be 1, and a good loss is $L = -\log p =
# \log(1 + e^{-z})$: it is 0 for $p = 1$ and grows without bound as $p$ goes to 0. (In this book,
# $\log$ is the natural logarithm, that to the base $e$, as in Python.) It is called
# **cross-entropy**; we shall meet its other half, for pixels that are no crack, when we train.
#
# As a program of simple steps:

# %%
w, x, b = 3.0, 0.7, -2.5

v1 = w * x
v2 = v1 + b  # the logit
v3 = math.exp(-v2)
v4 = 1 + v3
loss = math.log(v4)
print(f"logit {v2:.3f}, probability {1 / v4:.3f}, loss {loss:.4f}")

# %% [markdown]
# Let $g_k = \partial L / \partial v_k$ say how the loss changes with the result of step $k$. (The
# round $\partial$ marks a *partial derivative*: one number changes a little, and all others on
# which $L$ depends stay as they are.) We begin at the end, where it is simple, and work backwards.
# At each step, the chain rule multiplies the gradient that arrives by the derivative of that step
# alone:
#
# $$ \frac{\partial L}{\partial \text{input}}
#    = \frac{\partial L}{\partial \text{result}} \cdot
#      \frac{\partial\, \text{result}}{\partial \text{input}}. $$
#
# The logarithm has the derivative $1/v_4$. Adding 1 changes nothing. The derivative of $e^{-v}$ is
# $-e^{-v}$, which is $-v_3$. A sum passes its gradient on to both operands. A product passes to
# each operand its gradient times *the other operand*.

# %%
g4 = 1 / v4
g3 = g4
g2 = g3 * -v3
g1, gb = g2, g2
gw, gx = g1 * x, g1 * w
print(f"gw {gw:.6f}, gx {gx:.6f}, gb {gb:.6f}")

# %% [markdown]
# Is that right? Compute the loss a little to the right of $w$ and a little to the left, and take
# the slope between the two. (Chapter 4 is about how good such a check can be.)


# %%
def loss_of(w: float, x: float, b: float) -> float:
    return math.log(1 + math.exp(-(w * x + b)))


h = 1e-5
tried = [
    (loss_of(w + h, x, b) - loss_of(w - h, x, b)) / (2 * h),
    (loss_of(w, x + h, b) - loss_of(w, x - h, b)) / (2 * h),
    (loss_of(w, x, b + h) - loss_of(w, x, b - h)) / (2 * h),
]
np.testing.assert_allclose([gw, gx, gb], tried, rtol=1e-8)
print("the same by trying")

# %%
places = {"w": (0, 2.4), "x": (0, 0.8), "v1": (1, 1.6), "b": (1, 0), "v2": (2, 0.8)}
places |= {"v3": (3, 0.8), "v4": (4, 0.8), "L": (5, 0.8)}
values = {"w": w, "x": x, "v1": v1, "b": b, "v2": v2, "v3": v3, "v4": v4, "L": loss}
grads = {"w": gw, "x": gx, "v1": g1, "b": gb, "v2": g2, "v3": g3, "v4": g4, "L": 1.0}
steps = [("w", "v1"), ("x", "v1"), ("v1", "v2"), ("b", "v2"), ("v2", "v3"), ("v3", "v4")]
steps += [("v4", "L")]
does = {"v1": "product", "v2": "sum", "v3": "exp(-v)", "v4": "1 + v", "L": "log"}

fig, ax = plt.subplots(figsize=(7, 4))
for start, end in steps:
    (x0, y0), (x1, y1) = places[start], places[end]
    arrow = {"arrowstyle": "->", "color": "0.6", "shrinkA": 30, "shrinkB": 30}
    ax.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
for name, (px, py) in places.items():
    ax.text(px, py, name, ha="center", va="center", weight="bold", size=12)
    ax.text(
        px, py + 0.12, f"{values[name]:.3g}", ha="center", va="bottom", color="tab:blue", size=11
    )
    ax.text(px, py - 0.12, f"{grads[name]:.3g}", ha="center", va="top", color="tab:red", size=11)
    ax.text(px, py + 0.37, does.get(name, ""), ha="center", va="bottom", color="0.4")
ax.set(xlim=(-0.5, 5.5), ylim=(-0.4, 2.8))
ax.axis("off")
fig.tight_layout()

# %% [markdown]
# *Figure 1.1. The program as a graph. Above each name its value (blue), computed from left to
# right. Below it the derivative of the loss with respect to it (red), computed from right to left.
# Those with respect to $w$, $x$ and $b$ are negative <!-- holds max(gw, gx, gb) < 0 -->: more
# darkness, or a larger weight, makes this crack more certain and the loss smaller.*

# %% [markdown]
# ## A value that is used twice
#
# Now let the program use a value in two places. To keep weights small, one often adds a little of
# $w^2$ to the loss:
#
# $$ L = \log(1 + e^{-(wx + b)}) + c\,w^2. $$
#
# If $w$ goes up a little, the loss changes along both paths. The two changes *add*. In general, let
# $v_j$ be an input of the steps $k_1, k_2, \dots$ Then
#
# $$ g_j = \sum_{k \,:\, v_j \text{ goes into } v_k} g_k \, \frac{\partial v_k}{\partial v_j}.
#    \tag{1.1} $$
#
# This is all there is to back-propagation. It also holds for a value that goes into the same step
# twice: in $w \cdot w$ each operand passes $g \cdot w$ back to $w$, which makes $2gw$.

# %%
c = 0.01
gw_both = gw + c * w + c * w  # one way through the logit, two through w * w


def loss_with_penalty(w: float) -> float:
    return loss_of(w, x, b) + c * w * w


tried_slope = (loss_with_penalty(w + h) - loss_with_penalty(w - h)) / (2 * h)
np.testing.assert_allclose(gw_both, tried_slope, rtol=1e-8)

# %% [markdown]
# Equation (1.1) also says *when* $g_j$ is known: once every step that uses $v_j$ has passed its
# part back. All those steps came later than $v_j$. So if we go through the steps from last to
# first, each $g_j$ is complete when its turn comes.

# %% [markdown]
# ## A tape that is a list
#
# Let the program record its own way back. Each operation appends a small function to a list. When
# that function is called, it passes the gradient of the operation's result on to the operation's
# inputs.

# %%
tape: list[Callable[[], None]] = []


class Number:
    """A number and the derivative of the loss with respect to it."""

    def __init__(self, value: float) -> None:
        self.value, self.grad = value, 0.0


def multiply(a: Number, b: Number) -> Number:
    y = Number(a.value * b.value)

    def back() -> None:
        a.grad += y.grad * b.value
        b.grad += y.grad * a.value

    tape.append(back)
    return y


def add(a: Number, b: Number) -> Number:
    y = Number(a.value + b.value)

    def back() -> None:
        a.grad += y.grad
        b.grad += y.grad

    tape.append(back)
    return y


def softplus_of_minus(z: Number) -> Number:
    """``log(1 + exp(-z))``: three of our steps in one."""
    y = Number(math.log(1 + math.exp(-z.value)))

    def back() -> None:
        z.grad += y.grad * -1 / (1 + math.exp(z.value))

    tape.append(back)
    return y


nw, nx, nb = Number(3.0), Number(0.7), Number(-2.5)
penalty = multiply(Number(c), multiply(nw, nw))
total = add(softplus_of_minus(add(multiply(nw, nx), nb)), penalty)

total.grad = 1.0  # the loss changes with itself one to one
for back in reversed(tape):
    back()

print(f"gw {nw.grad:.6f}, gx {nx.grad:.6f}, gb {nb.grad:.6f}")
np.testing.assert_allclose([nw.grad, nx.grad, nb.grad], [gw_both, gx, gb])

# %% [markdown]
# Two things in these lines matter everywhere below.
#
# - **`+=`**: it is the sum of equation (1.1).
# - **Large steps.** `softplus_of_minus` is a single step with a derivative of its own. Nobody needs
#   to see the exponential inside. The larger the steps, the fewer there are to walk through. In the
#   library one step is often the convolution of a whole batch of photographs (chapter 2).
#
# For a library, this tape has faults. There is one for the whole program, and it keeps every
# intermediate result alive. And it goes back through everything that was ever computed, whether or
# not the loss depends on it.

# %% [markdown]
# ## Sixty lines
#
# So instead of a list, we keep the tape in the results themselves. Each result remembers the
# operation that made it, its **creator**, and each operation remembers its inputs. From the loss,
# these links lead to everything it depends on, and to nothing else.
#
# An operation is a class with a `forward` and a `backward`, both on plain arrays. `forward` keeps
# what `backward` will need. `backward(gy)` takes $g^y$, the gradient of the loss with respect to
# the operation's result $y$, and returns one for each input. It never needs to know the loss:
# everything about the loss is in `gy`. For an input $x$ with the *Jacobian* $J = \partial y /
# \partial x$, the matrix of the derivatives of every number of $y$ by every number of $x$, it
# computes $g^x = J^{\mathsf T} g^y$, the *vector-Jacobian product*, without ever forming $J$.
# ($J^{\mathsf T}$ is the *transpose*, with rows and columns exchanged. Element $i$ of the product
# is the sum of $g^y_j\, \partial y_j / \partial x_i$ over all $j$: equation (1.1) again.)

# %%


class Tensor:
    """An array that remembers how it was made."""

    def __init__(self, data: Any, creator: "Function | None" = None) -> None:
        self.data = np.asarray(data, np.float64)
        self.grad: Array | None = None
        self.creator = creator

    def __add__(self, other: "Tensor") -> "Tensor":
        return Add()(self, other)

    def __mul__(self, other: "Tensor") -> "Tensor":
        return Multiply()(self, other)

    def backward(self) -> None:
        """Give every input the gradient of this single value with respect to it."""
        gradients = {self.creator: np.ones_like(self.data)}  # of each function's output
        while gradients:
            function = max(gradients, key=lambda f: f.order)  # called last: all its users are done
            gy = gradients.pop(function)
            for x, gx in zip(function.inputs, function.backward(gy), strict=True):
                if x.creator is None:
                    x.grad = gx if x.grad is None else x.grad + gx
                else:
                    gradients[x.creator] = gradients.get(x.creator, 0) + gx


class Function:
    """An operation: ``forward`` and ``backward`` on arrays."""

    orders = itertools.count()

    def __call__(self, *inputs: Tensor) -> Tensor:
        self.inputs = inputs
        self.order = next(Function.orders)
        return Tensor(self.forward(*(x.data for x in inputs)), creator=self)


class Add(Function):
    def forward(self, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, gy: Array) -> tuple[Array, Array]:
        return gy, gy


class Multiply(Function):
    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return a * b

    def backward(self, gy: Array) -> tuple[Array, Array]:
        return gy * self.b, gy * self.a


class LogLoss(Function):
    """``log(1 + exp(-z))``, the loss of a pixel that is crack."""

    def forward(self, z: Array) -> Array:
        self.z = z
        return np.log(1 + np.exp(-z))

    def backward(self, gy: Array) -> tuple[Array]:
        return (-gy / (1 + np.exp(self.z)),)


tw, tx, tb = Tensor(3.0), Tensor(0.7), Tensor(-2.5)
total_t = LogLoss()(tw * tx + tb) + Tensor(c) * (tw * tw)
total_t.backward()
np.testing.assert_allclose([tw.grad, tx.grad, tb.grad], [gw_both, gx, gb])
print("the same from the classes")

# %% [markdown]
# These classes are `minispiral/tensor.py` in miniature; they need nothing but NumPy. The library's
# `Tensor.backward` is the same loop, with a priority queue (`heapq`), which keeps the latest
# function at hand, instead of `max`, which searches everything that waits. Its operations have the
# same two methods. Here is the expression with the library's classes, built from a sigmoid and a
# logarithm:

# %%
lw, lx, lb = (library.Tensor(v, requires_grad=True) for v in (3.0, 0.7, -2.5))
probability = ops.sigmoid(lw * lx + lb)
total_l = -ops.log(probability) + c * (lw * lw)
total_l.backward()
np.testing.assert_allclose([lw.grad, lx.grad, lb.grad], [tw.grad, tx.grad, tb.grad])
print(f"gw {lw.grad:.6f}, gx {lx.grad:.6f}, gb {lb.grad:.6f}")

# %% [markdown]
# ## Why the youngest first?
#
# The loop always takes, among the functions that wait, the one that was called last. Everything
# that uses its result was called later still and has been visited already, so `gradients` holds the
# complete sum of equation (1.1). So each function is visited **once**.
#
# The obvious way is recursion: pass a gradient to an input and continue from there at once. That is
# also right, but it follows every *path* from the loss to the weights. Each time a result is used
# twice, the number of paths doubles. Let us count, for the program `y = y + y` repeated $n$ times.
#
# **Predict**, before you run it: how many calls will the recursion make for 14 additions?

# %%
visits = 0


def recursive_backward(y: Tensor, gy: Array) -> None:
    global visits
    if y.creator is None:
        y.grad = gy if y.grad is None else y.grad + gy
        return
    visits += 1
    for x, gx in zip(y.creator.inputs, y.creator.backward(gy), strict=True):
        recursive_backward(x, gx)


lengths = range(1, 15)
by_recursion = []
for n in lengths:
    start = y = Tensor(1.0)
    for _ in range(n):
        y = y + y
    visits = 0
    recursive_backward(y, np.ones(()))
    by_recursion.append(visits)
    from_recursion, start.grad = start.grad, None
    y.backward()
    assert start.grad == from_recursion == 2**n

fig, ax = plt.subplots(figsize=(7, 3.2))
ax.semilogy(lengths, by_recursion, "o-", color="tab:red", label="recursion: every path")
ax.semilogy(lengths, list(lengths), "s-", color="tab:blue", label="tape: every function once")
ax.set(xlabel="additions in the program", ylabel="calls of backward")
ax.legend()
fig.tight_layout()

# %% [markdown]
# *Figure 1.2. Both ways give the same gradient. The recursion makes $2^n - 1$ calls <!-- holds
# by_recursion == [2**n - 1 for n in lengths] -->, the tape $n$. In Spiral-Net (chapter 6) each
# module reads what all modules before it made, so there are many paths.*

# %% [markdown]
# ## Arrays
#
# Nothing in the sixty lines is specific to single numbers. Let $x$ hold 400 pixels and $y$ their
# products with some weights. Then `gy` has the shape of `y`, one derivative for each element, and
# `backward` computes them all at once. One rule is new, and it is equation (1.1) again.
#
# Where shapes differ, NumPy *broadcasts*: in `w * x` with a single number `w` and 400 pixels, `w`
# is used 400 times. So its gradient is the sum of 400 parts. The sixty lines do not take that sum,
# and go wrong:

# %%
pixels = rng.uniform(0, 1, 400)
tw = Tensor(3.0)
summed = LogLoss()(tw * Tensor(pixels))
gradients_per_pixel = Multiply()
gradients_per_pixel(tw, Tensor(pixels))
wrong_shape, _ = gradients_per_pixel.backward(np.ones(400))
print("shape of the weight:", tw.data.shape, "- shape of its gradient:", wrong_shape.shape)

# %% [markdown]
# The library's `Add`, `Subtract`, `Multiply` and `Divide` therefore sum each gradient over the axes
# along which its input was broadcast. Exercise 1.3 asks you to write this sum. With the library the
# weight gets one number, and it is the sum:

# %%
lw = library.Tensor(3.0, requires_grad=True)
ops.sum(lw * pixels).backward()
assert lw.grad is not None
assert lw.grad.shape == ()
np.testing.assert_allclose(lw.grad, wrong_shape.sum())

# %% [markdown]
# ### A trap: sums in place
#
# `Tensor.backward` says `x.grad + gx`, which makes a new array. Would `x.grad += gx` not save
# memory? Look at `Add.backward`: it gives *the same array* to both inputs. If one of them is added
# to in place, the other changes with it.


# %%
def backward_in_place(y: Tensor) -> None:
    gradients = {y.creator: np.ones_like(y.data)}
    while gradients:
        function = max(gradients, key=lambda f: f.order)
        for x, gx in zip(function.inputs, function.backward(gradients.pop(function)), strict=True):
            if x.creator is not None:
                gradients[x.creator] = gradients.get(x.creator, 0) + gx
            elif x.grad is None:
                x.grad = gx
            else:
                x.grad += gx


p, q = Tensor([1.0]), Tensor([1.0])
backward_in_place(p * p + (p + q))  # the derivatives are 2p + 1 = 3 and 1
print("in place: ", p.grad, q.grad)
p, q = Tensor([1.0]), Tensor([1.0])
(p * p + (p + q)).backward()
print("new array:", p.grad, q.grad)
assert (p.grad, q.grad) == ([3.0], [1.0])

# %% [markdown]
# Such a mistake is hard to see, because most programs never run into it. The library takes two
# precautions: it adds out of place, and its `Add` returns a copy for one of the inputs.
# `minispiral gradcheck` looks for gradients that share memory.

# %% [markdown]
# ## What else the library's tape does
#
# - **`requires_grad`.** Only weights need gradients; photographs do not. An operation none of whose
#   inputs requires a gradient leaves nothing on the tape.
# - **`no_grad()`.** Inside it nothing is recorded. It is meant for finding cracks after training.
# - **Freeing.** What a `Function` keeps for its backward pass may be hundreds of megabytes. The
#   loop releases it as soon as the function has been visited. So a tape can be walked only once:

# %%
try:
    total_l.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# - **Clear errors.** If a `backward` returns the wrong number of gradients, or one whose shape is
#   not that of its input, as our `Multiply` just did, a sentence says so.
# - **No second derivatives.** `backward` works on plain arrays, which leave no tape, so a gradient
#   cannot be differentiated again. Libraries that can do so write `backward` in tensors. Nothing in
#   this method needs it.
#
# ## Training something
#
# With a gradient, training is four lines: compute the loss, walk back, and take from each weight a
# little of its gradient; then forget the gradient, since the next walk would add to it. This is
# **gradient descent**, and the factor is the **learning rate**. Let us teach our two weights to
# tell crack from concrete by darkness alone. We draw 400 pixels, half of them crack. Crack pixels
# are darker on average, but not always.
#
# For a pixel that is not crack the loss is $-\log(1 - p) = \log(1 + e^{z})$: the loss of a crack
# with the logit $-z$. With $l = 1$ for crack and $l = -1$ for none it is $\log(1 + e^{-lz})$ for
# both. The **cross-entropy** of many pixels is the sum of these losses, here divided by their
# number.

# %%
label = np.repeat([1.0, -1.0], 200)
darkness = rng.normal(np.where(label == 1, 0.65, 0.35), 0.12)

w_trained, b_trained = (library.Tensor(0.0, requires_grad=True) for _ in range(2))
weights = (w_trained, b_trained)
losses = []
for _ in range(300):
    p_right = ops.sigmoid(label * (w_trained * darkness + b_trained))
    mean_loss = -ops.mean(ops.log(p_right))
    mean_loss.backward()
    losses.append(float(mean_loss.data))
    for weight in weights:
        assert weight.grad is not None
        weight.data = weight.data - 5 * weight.grad
        weight.grad = None
print(f"w {w_trained.data:.2f}, b {b_trained.data:.2f}, loss {losses[0]:.3f} -> {losses[-1]:.3f}")

fig, (ax, ax_p) = plt.subplots(1, 2, figsize=(7, 3.2))
ax.plot(losses)
ax.set(xlabel="step", ylabel="mean loss", ylim=(0, None))
ax_p.hist([darkness[label == 1], darkness[label == -1]], 20, label=["crack", "concrete"])
ax_p.set(xlabel="darkness", ylabel="pixels")
twin = ax_p.twinx()
shades = np.linspace(0, 1, 101)
logits = library.Tensor(w_trained.data * shades + b_trained.data)
twin.plot(shades, ops.sigmoid(logits).data, color="black", label="p")
twin.set(ylabel="probability p", ylim=(0, 1))
ax_p.legend(loc="upper left", fontsize=8)
fig.tight_layout()

# %% [markdown]
# *Figure 1.3. Left: the loss during training. Right: the pixels, and the probability that the
# trained weights give (line). It crosses one half near the darkness 0.5 <!-- = -b_trained.data /
# w_trained.data -->, where the two kinds are equally frequent.*
#
# The loss begins at $\log 2 \approx 0.693$ <!-- = losses[0] -->, the loss of $p = 1/2$ for every
# pixel.

# %%
assert math.isclose(losses[0], math.log(2))
assert losses[-1] < 0.3

# %% [markdown]
# ## An operation of your own
#
# `minispiral.tensor.Function` is there to be subclassed. You write `forward` and `backward`; the
# library does the rest. The derivative of $y = x^3$ is $3x^2$:


# %%
class Cube(library.Function):
    def forward(self, x: Array) -> Array:
        self.x = x
        return x**3

    def backward(self, gy: Array) -> Array:
        return gy * 3 * self.x**2


report = gradcheck(lambda x: Cube()(x), [rng.standard_normal((3, 4))])
print("right" if report.passed else report)

# %% [markdown]
# `gradcheck` compares `backward` with derivatives computed without it.
#
# Networks need a function that is not a straight line between their layers, or all layers together
# would be a single one. The usual one is the *rectified linear unit*, **ReLU**: $y = \max(x, 0)$.
# It passes what is positive and sets the rest to 0. Its derivative is 1 for $x > 0$ and 0 for $x <
# 0$. At 0 there is none, and one takes 0:


# %%
class ReLU(library.Function):
    def forward(self, x: Array) -> Array:
        self.x = x
        return np.maximum(x, 0)

    def backward(self, gy: Array) -> Array:
        return gy * (self.x > 0)


report = gradcheck(lambda x: ReLU()(x), [rng.standard_normal((3, 4))])
print("right" if report.passed else report)
assert report.passed

# %% [markdown]
# Here is what `gradcheck` says about a mistake:


# %%
class Careless(Cube):
    def backward(self, gy: Array) -> Array:
        return 3 * self.x**2  # gy is missing


report = gradcheck(lambda x: Careless()(x), [rng.standard_normal((3, 4))])
assert not report.passed
print(report)

# %% [markdown]
# ### A backward pass that is not the derivative
#
# Nothing forces `backward` to be the derivative of `forward`. Take a staircase: rounding to
# integers. Its derivative is 0 almost everywhere, so nothing in front of it can be trained. But
# seen from afar a staircase rises like a ramp, with slope 1. Let `backward` say that:


# %%
class Round(library.Function):
    exact = False  # backward is not the derivative, on purpose

    def forward(self, x: Array) -> Array:
        return np.round(x)

    def backward(self, gy: Array) -> Array:
        return gy


position = library.Tensor(0.2, requires_grad=True)
seen = []
for _ in range(40):
    step = Round()(position)
    seen.append(float(step.data))
    distance = (step - 3.0) * (step - 3.0)
    distance.backward()
    assert position.grad is not None
    position.data = position.data - 0.05 * position.grad
    position.grad = None
print(seen[::4])
assert seen[-1] == 3

# %% [markdown]
# The loss $(\text{round}(x) - 3)^2$ was minimised by something that is not its gradient. Such a
# **pseudo-gradient** must still be linear in `gy`: double what arrives, and what is returned
# doubles too. `exact = False` tells the reader and `gradcheck` that the difference is intended.
#
# This freedom is the heart of the method. The score that matters for cracks, called F1, counts
# pixels, and so is a staircase as well. Equation 11 of the paper is a pseudo-gradient that climbs
# it. Chapter 5 shows how, and proves that it is not the gradient of any loss.

# %% [markdown]
# ## Where it lives
#
# **Now read** some 140 lines: `minispiral.tensor.Tensor.backward`, the walk, which visits the
# latest operation first; then `minispiral.tensor.Function`, from which every operation is made;
# then `minispiral.tensor.Multiply`, one such operation. What do they have that your tape has not?
# Look for what is freed, and when.
#
# - `minispiral.tensor.Tensor`, `minispiral.tensor.Tensor.backward`: the array that remembers how it
#   was made, and the walk
# - `minispiral.tensor.Function`: how an operation is called, visited and freed
# - `minispiral.tensor.Add`, `minispiral.tensor.Multiply`: with the sums over broadcast axes
# - `minispiral.tensor.no_grad`: computing without a tape
# - `minispiral.ops.Sigmoid`, `minispiral.ops.Log`, `minispiral.ops.ReLU`: operations like those of
#   this chapter
# - `minispiral.gradcheck.gradcheck`: the check of chapter 4
#
# ## To read on
#
# - A. Griewank and A. Walther, *Evaluating Derivatives: Principles and Techniques of Algorithmic
#   Differentiation*, second edition, SIAM 2008. The reference: what one walk costs, what a tape
#   must keep, and other orders to walk in.
# - A. G. Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind, *Automatic Differentiation in
#   Machine Learning: a Survey*, Journal of Machine Learning Research 18, 2018. Short and readable;
#   what the method is, and what it is not.
# - D. E. Rumelhart, G. E. Hinton and R. J. Williams, *Learning representations by back-propagating
#   errors*, Nature 323, 1986. Four pages: the method as networks met it.

# %% [markdown]
# ## Exercises
#
# Write each function into a file, say `answer.py`, and check it with
# `minispiral exercise 1.1 answer.py`. One file may hold the answers to several exercises.
#
# ### Exercise 1.1 ★
#
# By hand, without a tape: a program computes from two numbers $w$ and $x$
#
#     y = w * x
#     z = y * y + w
#     loss = z * y
#
# Write `gradients(w, x)`, which returns the pair $(\partial L/\partial w, \partial L/\partial x)$
# as numbers. Work backwards step by step, as in *One pixel, by hand*.
#
# ### Exercise 1.2 ★★
#
# The *softplus* $y = \log(1 + e^x)$ is a ReLU with a rounded corner. Write `softplus(x)`, which
# takes a `minispiral.tensor.Tensor` of any shape and returns another: the softplus of each element.
# Its gradient has to work, so subclass `Function`. It must be right for large numbers too:
# $e^{1000}$ does not fit into a float64, but $\log(1 + e^{1000})$ is 1000.
#
# ### Exercise 1.3 ★★
#
# NumPy broadcasts an array along each axis where it has length 1 and the other array has more, and
# along leading axes that it does not have. Write `sum_to_shape(g, shape)`. `g` is the gradient of a
# result that was computed from an input of shape `shape`, broadcast to the shape of `g`. Return the
# gradient of the input, an array of shape `shape`: each element is the sum of what arrived at all
# its copies.
#
# For example, with `g = np.ones((2, 3, 4))` and `shape = (3, 1)` each of the three elements was
# used $2 \cdot 4$ times, so the result is `[[8], [8], [8]]`.
#
# ### On paper
#
# **A.** With $y = wx + b$ let the loss be $L = y^2 w$. Draw the graph of its steps and find
# $\partial L / \partial w$ and $\partial L / \partial b$ by equation (1.1), without multiplying
# out.
#
# **B.** The walk can also go *forwards*. Pick one input, and let $\dot v_k$ say how $v_k$ changes
# with it. Which rule for $\dot v_k$ corresponds to equation (1.1), and in which order are the steps
# visited? A program has $n$ inputs and $m$ results, all of them single numbers. How many walks
# forwards give all $nm$ derivatives, and how many backwards? Which of the two needs no tape? Last,
# let 100 inputs go into a single number $u$, and let 100 results be computed from $u$ alone. Show
# that two walks, one through each half of the program, give all 10,000 derivatives.
#
# **C.** In the sixty lines, somebody replaces `max(gradients, key=...)` by `next(iter(gradients))`:
# the function that has waited longest, since a dictionary remembers the order in which its keys
# came. "Then a gradient is passed on before it is complete, and the result is wrong," says a
# friend. Find a program of three steps in which a function is visited twice, and follow the
# numbers. Is the friend right? Which property of `backward` decides it? What does the library do at
# such a second visit?
#
# ### Experiment
#
# Train the two weights of Figure 1.3 with other learning rates. From which rate on does the loss no
# longer fall, and what does it do instead? What changes if the darkness is measured from 0 to 255?
