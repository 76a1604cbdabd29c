"""The function under test, seen as one of arrays, and a watch on what its backward passes do."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minispiral.device import CPU, Device
from minispiral.errors import UserError
from minispiral.gradcheck.report import Problem
from minispiral.nn import Module
from minispiral.tensor import Function, Tensor, no_grad

Array = NDArray[Any]
Inputs = Sequence[Tensor | ArrayLike] | Mapping[str, Tensor | ArrayLike]


class Pass(NamedTuple):
    """One forward and backward pass: the output, a gradient for each value, what was seen.

    The arrays are copies, which no later pass can reach.
    """

    y: Array
    gradients: list[Array]
    functions: list[Function]
    problems: list[Problem]


class Subject:
    """A function of tensors as a function of arrays: its inputs, then the module's parameters.

    It runs on ``device``, on complex numbers on the CPU; arrays come and go as the CPU's. A module
    has its parameters and buffers back, unchanged, after every call. Raises `UserError` for
    anything but float64 and for inputs that share memory.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: Inputs,
        module: Module | None,
        device: Device = CPU,
    ) -> None:
        self.function, self.device = function, device
        self.module = function if module is None and isinstance(function, Module) else module
        parameters = [] if self.module is None else list(self.module.named_parameters())
        self.parameters = [p for _, p in parameters]
        given = dict(inputs) if isinstance(inputs, Mapping) else _named(function, inputs)
        arrays = [x.data if isinstance(x, Tensor) else np.asarray(x) for x in given.values()]
        self.arguments = len(arrays)
        self.names = [*given, *(name for name, _ in parameters)]
        self.values = [*arrays, *(p.data for p in self.parameters)]
        for name, value in zip(self.names, self.values, strict=True):
            if value.dtype != np.float64:
                raise UserError(
                    f"{name} is {value.dtype}, but gradients are checked in float64: float32 "
                    f"passes or fails by luck; convert it, a module with astype(np.float64)"
                )
            if _overlaps_itself(value):
                raise UserError(f"elements of {name} share memory; give a copy of it")
        for (one, a), (other, b) in combinations(zip(self.names, self.values, strict=True), 2):
            if np.shares_memory(a, b):
                raise UserError(f"{one} and {other} share memory; give a copy of one of them")
        self.values = [value.copy() for value in self.values]
        self.handed_back: list[Array | None] = [None] * len(self.values)  # by the last pass

    def value(self, values: Sequence[Array]) -> Array:
        """The output for these values, real or complex, which stay as they are."""
        device = CPU if any(map(np.iscomplexobj, values)) else self.device
        values = [device.put(value.copy()) for value in values]
        with no_grad(), self._holding(values[self.arguments :], device):
            y = self.function(*map(Tensor, values[: self.arguments]))
        if not isinstance(y, Tensor):
            raise UserError(f"the function returned {type(y).__name__}, expected one Tensor")
        return device.get(y.data)

    def run(self, values: Sequence[Array], gy: Array) -> Pass:
        """Forward and backward, watching what every function on the tape does to its arrays."""
        device = self.device
        values = [device.put(value.copy()) for value in values]
        leaves = [Tensor(value, requires_grad=True) for value in values[: self.arguments]]
        problems: list[Problem] = []
        with self._holding(values[self.arguments :], device):
            before, constants = [value.copy() for value in values], self._constants()
            y = self.function(*leaves)
            output = device.get(y.data.copy())
            functions = _tape(y)
            for function, result in functions.items():
                _watch(function, result, problems)
            given = device.put(gy.copy())
            if y.requires_grad:
                y.backward(given)
            moved = [
                name
                for name, value in self._constants().items()
                if not np.array_equal(value, constants[name], equal_nan=True)
            ]
            found = [leaf.grad for leaf in (*leaves, *self.parameters)]
        if moved:
            more = f" (and {len(moved) - 1} more)" if len(moved) > 1 else ""
            problems.append(Problem("buffers stay", f"{moved[0]} moved in evaluation mode{more}"))
        for name, gx, last in zip(self.names, found, self.handed_back, strict=True):
            if gx is not None and last is not None and np.shares_memory(gx, last):
                message = f"the gradient of {name} is a buffer that the next pass overwrites"
                problems.append(Problem("no aliases", message))
        self.handed_back = found
        named = dict(zip(self.names, values, strict=True))
        for (name, value), kept in zip(named.items(), before, strict=True):
            if not np.array_equal(value, kept, equal_nan=True):
                problems.append(Problem("inputs stay", f"{name} was modified"))
        if not np.array_equal(device.get(given), gy):
            problems.append(Problem("gy stays", "the gradient that was handed in was modified"))
        arrays = {"the output": y.data, "gy": given, **named}
        arrays |= {
            f"the gradient of {name}": gx
            for name, gx in zip(self.names, found, strict=True)
            if gx is not None
        }
        for (one, a), (other, b) in combinations(arrays.items(), 2):
            if "gradient" in other and np.shares_memory(a, b):
                problems.append(Problem("no aliases", f"{other} shares memory with {one}"))
        gradients = [
            np.zeros(value.shape) if gx is None else device.get(gx.copy())
            for gx, value in zip(found, values, strict=True)
        ]
        return Pass(output, gradients, list(functions), problems)

    @contextmanager
    def _holding(self, values: Sequence[Array], device: Device) -> Iterator[None]:
        """The module has these parameters meanwhile, and buffers of its own."""
        if self.module is None:
            yield
            return
        dtype = np.result_type(np.float64, *(value.dtype for value in values))
        parameters = [(p, p.data, p.grad) for p in self.parameters]
        buffers = [
            (module, name, getattr(module, name))
            for _, module in self.module.modules()
            for name in module.buffers
        ]
        try:
            for p, value in zip(self.parameters, values, strict=True):
                p.data, p.grad = value, None
            for module, name, buffer in buffers:
                setattr(module, name, device.put(buffer.astype(dtype)))
            yield
        finally:
            for p, data, grad in parameters:
                p.data, p.grad = data, grad
            for module, name, buffer in buffers:
                setattr(module, name, buffer)

    def _constants(self) -> dict[str, Array]:
        """Copies of the buffers of modules in evaluation mode, where nothing moves them."""
        if self.module is None:
            return {}
        return {
            prefix + name: getattr(module, name).copy()
            for prefix, module in self.module.modules()
            if not module.training
            for name in module.buffers
        }


def _named(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | ArrayLike]
) -> dict[str, Tensor | ArrayLike]:
    """The inputs under the names the function gives them, or numbered."""
    call = function.forward if isinstance(function, Module) else function
    try:
        names = [
            p.name
            for p in inspect.signature(call).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    if len(names) < len(inputs):
        names = [f"input {i}" for i in range(len(inputs))]
    return dict(zip(names, inputs, strict=False))


def _overlaps_itself(x: Array) -> bool:
    """Whether two elements may lie in one place, as in a broadcast view."""
    return any(n > 1 and stride == 0 for n, stride in zip(x.shape, x.strides, strict=True))


def _tape(y: Tensor) -> dict[Function, Array]:
    """Every function that ``y`` was made by, with its output."""
    waiting, found = [y], dict[Function, Array]()
    while waiting:
        x = waiting.pop()
        if x.creator is not None and x.creator not in found:
            found[x.creator] = x.data
            waiting.extend(x.creator.inputs or ())
    return found


def _watch(function: Function, y: Array, problems: list[Problem]) -> None:
    """Have ``function.backward`` report arrays it modified and gradients that share memory."""
    name, backward = type(function).__name__, function.backward

    def watched(gy: Array) -> Any:
        inputs = [x.data for x in function.inputs or ()]
        theirs = [("gy stays", "gy", gy), ("output stays", "output", y)]
        theirs += [("inputs stay", "input", x) for x in inputs]
        before = [array.copy() for _, _, array in theirs]
        result = backward(gy)
        for (rule, what, array), kept in zip(theirs, before, strict=True):
            if not np.array_equal(array, kept, equal_nan=True):
                problems.append(Problem(rule, f"{name}.backward modified its {what}"))
        results = result if isinstance(result, tuple) else (result,)
        gradients = [g() if callable(g) else g for g in results if g is not None]
        if any(np.shares_memory(a, b) for a, b in combinations(gradients, 2)):
            problems.append(Problem("no aliases", f"two gradients of {name}.backward share memory"))
        if any(np.shares_memory(g, x) for g in gradients for x in inputs):
            problems.append(
                Problem("no aliases", f"a gradient of {name}.backward shares memory with an input")
            )
        return result

    function.backward = watched  # type: ignore[method-assign]
