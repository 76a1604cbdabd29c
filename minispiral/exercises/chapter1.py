"""Checks of chapter 1: a gradient by hand, an operation on the tape, sums over broadcast axes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect
from minispiral.tensor import Tensor

Array = NDArray[np.float64]


@exercise("1.1", function="gradients", difficulty=1)
def gradients(answer: Callable[..., Any]) -> None:
    """A gradient by hand."""
    rng = np.random.default_rng()
    for w, x in [(2.0, 3.0), *np.round(rng.uniform(0.5, 2, (5, 2)), 3).tolist()]:
        y = w * x
        z = y * y + w
        gy = z + 2 * y * y
        gw = gy * x + y
        call = f"gradients({w}, {x})"
        result = answer(w, x)
        try:
            found_w, found_x = (float(part) for part in result)
        except (TypeError, ValueError) as error:
            raise Wrong(f"{call} should return two numbers, but returned {result!r}") from error
        if np.allclose((found_w, found_x), (gw, gy * w), rtol=1e-9):
            continue
        if np.allclose((found_x, found_w), (gw, gy * w), rtol=1e-9):
            raise Wrong(f"{call} returns the gradient of x first: that of w is asked for first")
        if np.allclose((found_w, found_x), (gw, gy * w), rtol=1e-4):
            raise Wrong(f"{call} has only some digits, as by trying: derive it step by step")
        if np.isclose(found_w, gy * x):
            raise Wrong(f"{call} misses that w also goes into z: the gradient of w has two parts")
        if np.isclose(found_w, z * x + y) or np.isclose(found_w, 2 * y * y * x + y):
            raise Wrong(f"{call} misses that y goes into both z and the loss: add the two parts")
        if np.isclose(found_w, (z + y * y) * x + y):
            raise Wrong(f"{call} misses that y goes into y * y twice: each operand has its part")
        if np.isclose(found_w, gy + y):
            raise Wrong(f"{call} misses a step: w goes into y by w * x, so its part is gy times x")
        if np.isclose(found_x, gy):
            raise Wrong(f"{call} stops at y: the gradient of x is that of y times w")
        if np.isclose(found_x, gy * x):
            raise Wrong(f"{call} multiplies by x: a product passes to x the other operand, w")
        for name, found, expected in (("w", found_w, gw), ("x", found_x, gy * w)):
            if not np.isclose(found, expected, rtol=1e-9):
                raise Wrong(
                    f"{call} gives {found:.9g} for the gradient of {name}, expected {expected:.9g}"
                )


@exercise("1.2", function="softplus", difficulty=2)
def softplus(answer: Callable[..., Any]) -> None:
    """An operation on the tape."""
    rng = np.random.default_rng()
    for data in (np.array([0.0]), rng.uniform(-3, 3, (3, 4)), np.array([-1000.0, 30.0, 1000.0])):
        x = Tensor(data.copy(), requires_grad=True)
        with np.errstate(over="ignore", invalid="ignore"):
            y = answer(x)
        given = f"for x = {data}" if data.ndim == 1 else f"for random x {data.shape}"
        if not isinstance(y, Tensor):
            raise Wrong(f"{given} softplus(x) returned {type(y).__name__}, expected a Tensor")
        expect(y.data, np.logaddexp(0, data), f"{given} softplus(x).data")
        if not y.requires_grad:
            raise Wrong(
                f"{given} softplus(x) is not on the tape: call a Function of your own with x itself"
            )
        gy = rng.uniform(1, 2, data.shape)
        slope = 1 / (1 + np.exp(-np.clip(data, -700, None)))
        with np.errstate(over="ignore", invalid="ignore"):
            y.backward(gy)
        found = np.asarray(x.grad)
        known = {
            "is the derivative of softplus: backward forgets to multiply it by gy": slope,
            "is gy times the derivative of the sigmoid, not of softplus": gy * slope * (1 - slope),
            "is gy times softplus, not its derivative": gy * np.logaddexp(0, data),
            "is gy as it came: multiply it by the derivative": gy,
            "has the wrong sign": -gy * slope,
        }
        call = f"{given} and gy between 1 and 2, the gradient of x"
        expect(found, gy * slope, call, known=known)
        if not np.array_equal(x.data, data):
            raise Wrong(
                f"{given} softplus(x) changes x.data, which other operations may still need"
            )


@exercise("1.3", function="sum_to_shape", difficulty=2)
def sum_to_shape(answer: Callable[..., Any]) -> None:
    """Sums over broadcast axes."""
    rng = np.random.default_rng()
    cases = [
        ((2, 3), (2, 3)),
        ((5, 3), (3,)),
        ((4, 3), (4, 1)),
        ((3, 3), (1, 3)),
        ((2, 3, 4), (3, 1)),
        ((2, 1, 4), (2, 1, 1)),
        ((2, 3), ()),
        ((1, 3), (3,)),
    ]
    for full, shape in cases:
        for g in (np.ones(full), rng.standard_normal(full)):
            # The sum is the adjoint of broadcasting: its matrix is the transpose.
            places = np.arange(int(np.prod(shape))).reshape(shape)
            expected = np.zeros(places.size)
            np.add.at(expected, np.broadcast_to(places, full).ravel(), g.ravel())
            kind = f"g = np.ones({full})" if np.all(g == 1) else f"random g of shape {full}"
            mean = expected * (places.size / g.size)
            first = g[(0,) * (g.ndim - len(shape))]
            picked = first[tuple(slice(0, n) for n in shape)]
            result: Any = answer(g.copy(), shape)
            if isinstance(result, float | np.floating):
                result = np.asarray(result)
            known = {
                "is what arrived at one of the copies: add up all": picked,
                "is the mean of what arrived at the copies: add it up": mean.reshape(shape),
                "is the sum of all of g: each element gets what arrived at its own copies": np.full(
                    shape, g.sum()
                ),
            }
            call = f"for {kind}, sum_to_shape(g, {shape})"
            expect(result, expected.reshape(shape), call, known=known)
