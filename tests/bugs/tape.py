"""Bugs of the tape, of arithmetic and of elementwise functions."""

from minispiral import ops, tensor
from tests.bugs.bug import Bug, Edit

TAPE = (
    Bug(
        "reused-overwritten",
        "A result used twice keeps the gradient of one use and forgets the other.",
        (
            Edit(
                tensor.Tensor.backward,
                "gradients[x.creator].append(_computed(gx))",
                "gradients[x.creator] = [_computed(gx)]",
            ),
        ),
        checks=("wide-unet 1-3",),
        clue="derivative: along a direction of",
    ),
    Bug(
        "input-overwritten",
        "An input used twice keeps the gradient of one use and forgets the other.",
        (
            Edit(
                tensor.Tensor._accumulate,
                "gx if self.grad is None else arithmetic.add(self.grad, gx)",
                "gx",
            ),
        ),
        checks=("concatenate along -1", "concatenate along 1"),
        clue="the gradient of a (2, 3, 4)",
    ),
    Bug(
        "depth-first",
        "The tape is walked depth first: a function runs before all its gradients have arrived.",
        (
            Edit(
                tensor.Tensor.backward,
                "heapq.heappush(queue, (-x.creator.order, x.creator))",
                "queue.append((-x.creator.order, x.creator))",
            ),
            Edit(tensor.Tensor.backward, "heapq.heappop(queue)", "queue.pop()"),
            Edit(
                tensor.Tensor.backward,
                "if not x.requires_grad:",
                "if not x.requires_grad or (x.creator and not x.creator.inputs):",
            ),
        ),
        checks=("wide-unet 1-3",),
        clue="derivative: the gradient of x (3, 15, 15, 3)",
    ),
    Bug(
        "seed-doubled",
        "The gradient that the backward pass starts from is doubled.",
        (Edit(tensor.Tensor.backward, "{self.creator: [start]}", "{self.creator: [2 * start]}"),),
        checks=("negate", "cross-entropy"),
        clue="each is 2 times what it should be",
    ),
    Bug(
        "unbroadcast-first",
        "Broadcasting is undone by taking the first copy, not by summing all.",
        (
            Edit(
                tensor._unbroadcast,
                "g.sum((*range(leading), *stretched)).reshape(shape)",
                "g.sum(tuple(range(leading)))[tuple(slice(n) for n in shape)]",
            ),
        ),
        checks=("add (2, 3, 4) (3, 1)", "multiply (1, 4) (5, 1)"),
        clue="the gradient of b (3, 1)",
    ),
    Bug(
        "unbroadcast-mean",
        "Broadcasting is undone by averaging the copies, not by summing them.",
        (
            Edit(tensor._unbroadcast, "g.sum((", "g.mean(("),
            Edit(
                tensor._unbroadcast,
                "arithmetic.leading_sum(g, leading)",
                "g.mean(tuple(range(leading)))",
            ),
        ),
        checks=("add (2, 3, 4) (3, 1)", "Conv2d with bias", "divide (3,) ()"),
        clue="each is 0.125 times what it should be",
    ),
    Bug(
        "add-aliases",
        "An addition returns the same array to both operands.",
        (
            Edit(
                tensor.Add.backward,
                "arithmetic.astype(gb, gb.dtype) if gb is ga else gb",
                "gb",
            ),
        ),
        checks=("add (3, 4) (3, 4)",),
        clue="no aliases: two gradients of Add.backward share memory",
    ),
    Bug(
        "subtract-sign",
        "The second operand of a subtraction gets the gradient of an addition.",
        (Edit(tensor.Subtract.backward, "-gy", "+gy"),),
        checks=("subtract (3, 4) (3, 4)", "subtract (3,) ()"),
        clue="the gradient of b (3, 4): 12 of 12 elements are wrong; each is -1 times",
    ),
    Bug(
        "multiply-own-factor",
        "The second factor's gradient is multiplied by itself instead of by the first.",
        (Edit(tensor.Multiply.backward, "(gy, self.a)", "(gy, self.b)"),),
        checks=("multiply (3, 4) (3, 4)",),
        clue="the gradient of b (3, 4)",
    ),
    Bug(
        "divide-sign",
        "The divisor's gradient has the wrong sign.",
        (Edit(tensor.Divide.backward, "-ga * self.a", "ga * self.a"),),
        checks=("divide (3, 4) (3, 4)",),
        clue="each is -1 times what it should be",
    ),
    Bug(
        "divide-once",
        "The divisor's gradient is divided by the divisor once, not twice.",
        (Edit(tensor.Divide.backward, "-ga * self.a / self.b", "-ga * self.a"),),
        checks=("divide (3, 4) (3, 4)", "divide (1, 4) (5, 1)"),
        clue="the gradient of b (3, 4)",
    ),
    Bug(
        "divide-random",
        "The last digits of a gradient change from call to call.",
        (
            Edit(
                tensor.Divide.backward,
                "gy / self.b",
                "gy / self.b * (1 + 1e-15 * np.random.default_rng().integers(9, size=gy.shape))",
            ),
        ),
        checks=("divide (3, 4) (3, 4)",),
        clue="same bits: a second backward pass gives another gradient of a",
    ),
    Bug(
        "negate-in-place",
        "A backward pass overwrites the gradient it was handed.",
        (Edit(tensor.Negate.backward, "-gy", "np.negative(gy, out=gy)"),),
        checks=("negate",),
        clue="gy stays: Negate.backward modified its gy",
    ),
    Bug(
        "negate-input-in-place",
        "A forward pass overwrites its input.",
        (Edit(tensor.Negate.forward, "-x", "np.negative(x, out=x)"),),
        checks=("negate",),
        clue="inputs stay: x was modified",
    ),
    Bug(
        "sum-misshapen",
        "The gradient of a sum keeps the shape of the sum.",
        (Edit(ops.Sum.backward, "np.broadcast_to(gy, self.shape).copy()", "gy"),),
        checks=("sum over None",),
        clue="Sum.backward returned a gradient of shape",
    ),
    Bug(
        "sum-spread-thin",
        "The gradient of a sum is divided by the number of terms.",
        (Edit(ops.Sum.backward, "self.shape).copy()", "self.shape) / max(self.shape)"),),
        checks=("sum over None", "mean over 0", "sum over (0, 2)"),
        clue="each is 0.2 times what it should be",
    ),
    Bug(
        "mean-of-one-axis",
        "The mean divides by the length of the last axis, whichever it is over.",
        (Edit(ops.mean, "total.data.size / x.data.size", "1 / x.shape[-1]"),),
        checks=("mean over None", "mean over 0", "mean over (0, 2)"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "reshape-back-by-columns",
        "The gradient of a reshape is read in column order.",
        (Edit(ops.Reshape.backward, "self.shape)", 'self.shape, order="F")'),),
        checks=("reshape",),
        clue="the gradient of x (2, 6)",
    ),
    Bug(
        "reshape-by-columns",
        "A reshape reads in column order, forward and backward alike.",
        (
            Edit(ops.Reshape.forward, "self.to)", 'self.to, order="F")'),
            Edit(ops.Reshape.backward, "self.shape)", 'self.shape, order="F")'),
        ),
        checks=("reshape",),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "concatenate-off-by-one",
        "The gradient of a concatenation is cut one place too late.",
        (
            Edit(
                ops.Concatenate.backward,
                "layout.split(gy, ",
                "layout.split(np.roll(gy, -1, self.axis), ",
            ),
        ),
        checks=("concatenate along -1", "concatenate along 1"),
        clue="the gradient of b (2, 3, 1)",
    ),
    Bug(
        "relu-in-place",
        "ReLU overwrites its input, which a second call would not show.",
        (Edit(ops.ReLU.forward, "np.maximum(x, 0)", "np.maximum(x, 0, out=x)"),),
        checks=("relu",),
        clue="inputs stay: x was modified",
    ),
    Bug(
        "relu-shifted",
        "ReLU lets the gradient through a little below zero.",
        (Edit(ops.ReLU.backward, "self.x > 0", "self.x > -0.005"),),
        checks=("relu",),
        clue="the gradient of x (3, 7)",
    ),
    Bug(
        "relu-leaky",
        "ReLU is leaky, but only backward.",
        (Edit(ops.ReLU.backward, "self.x > 0", "np.where(self.x > 0, 1, 0.01)"),),
        checks=("relu",),
        clue="the gradient of x (3, 7)",
    ),
    Bug(
        "relu-open-at-zero",
        "ReLU lets the gradient through at zero itself, where the slope is a convention.",
        (Edit(ops.ReLU.backward, "self.x > 0", "self.x >= 0"),),
        test="test_relu_is_idempotent_and_scales_with_its_input",
    ),
    Bug(
        "sigmoid-half",
        "The slope of the sigmoid lacks the factor 1 - sigma.",
        (Edit(ops.Sigmoid.backward, "gy * self.y * (1 - self.y)", "gy * self.y"),),
        checks=("sigmoid",),
        clue="the gradient of x (3, 7): 21 of 21 elements are wrong",
    ),
    Bug(
        "sigmoid-spoils-output",
        "The sigmoid computes its slope in the array that it returned as output.",
        (
            Edit(
                ops.Sigmoid.backward,
                "return gy * self.y * (1 - self.y)",
                "self.y *= 1 - self.y; return gy * self.y",
            ),
        ),
        checks=("sigmoid",),
        clue="output stays: Sigmoid.backward modified its output",
    ),
    Bug(
        "log-times",
        "The gradient of the logarithm is multiplied by x.",
        (Edit(ops.Log.backward, "gy / self.x", "gy * self.x"),),
        checks=("log",),
        clue="the gradient of x (3, 7)",
    ),
    Bug(
        "log-clipped",
        "The gradient of the logarithm is clipped.",
        (Edit(ops.Log.backward, "gy / self.x", "np.clip(gy / self.x, -1, 1)"),),
        checks=("log",),
        clue="linear in gy: the gradient of x is not linear in gy",
    ),
    Bug(
        "log-single",
        "A gradient is computed in float32 and returned as float64.",
        (
            Edit(
                ops.Log.backward,
                "gy / self.x",
                "(gy / self.x).astype(np.float32).astype(np.float64)",
            ),
        ),
        checks=("log",),
        clue="looks like float32 precision inside",
    ),
    Bug(
        "multiply-single",
        "A gradient is returned as float32.",
        (Edit(tensor.Multiply.backward, "(gy, self.b)", "(gy, self.b).astype(np.float32)"),),
        checks=("multiply (3, 4) (3, 4)",),
        clue="float64: the gradient of a is float32",
    ),
    Bug(
        "log-remembers",
        "Gradients add up from one backward pass to the next, in a default argument.",
        (
            Edit(ops.Log.backward, "gy: Array)", "gy: Array, total: list = [0])"),
            Edit(
                ops.Log.backward,
                "return gy / self.x",
                "total[0] = total[0] + gy / self.x; return total[0]",
            ),
        ),
        checks=("log",),
        clue="same bits: a second backward pass gives another gradient of x",
    ),
)
