"""Tensor, Function and the tape that back-propagation walks.

Every operation is a `Function` with a ``forward`` and a ``backward`` on plain arrays. Calling one
on tensors computes the result and, where a gradient is wanted, attaches the function to its output
as ``output.creator``. These links are the tape. ``output.backward()`` is reverse-mode
differentiation: it visits the functions in reverse order of creation and hands each one the
gradient of its output; the function returns a vector-Jacobian product for each of its inputs.

Your own operation takes ten lines, and its backward need not be the true derivative::

    class Square(Function):
        def forward(self, x):
            self.x = x                    # keep what backward needs
            return x * x

        def backward(self, gy):
            return 2 * self.x * gy        # one array per input, of the input's shape

    y = Square()(x)

A function whose backward is *not* the derivative of its forward sets ``exact = False``. It must
still be linear in ``gy``.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from minispiral import numbers
from minispiral.kernels import arithmetic
from minispiral.kernels.arrays import Array, like

Gradient = Array | Callable[[], Array]  # computed, or to be computed when it is needed
Hook = Callable[[Any, str], AbstractContextManager[Any]]
Collector = Callable[["Tensor", Gradient], Gradient]

_NOTHING = nullcontext()
_recording: ContextVar[bool] = ContextVar("recording", default=True)
_collector: ContextVar[Collector] = ContextVar("collector", default=lambda leaf, gradient: gradient)
_hook: ContextVar[Hook] = ContextVar("hook", default=lambda subject, phase: _NOTHING)
_creation_order = itertools.count()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside this context operations leave nothing on the tape."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Inside this context `around` enters ``hook(subject, phase)``."""
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)


@contextmanager
def collected(collector: Collector) -> Iterator[None]:
    """Inside this context ``collector(leaf, gradient)`` takes the place of a leaf's gradient.

    It is called as soon as backward has come to the leaf, a parameter or an input.
    """
    token = _collector.set(collector)
    try:
        yield
    finally:
        _collector.reset(token)


def around(subject: Any, phase: str) -> AbstractContextManager[Any]:
    """What is entered around the "forward" and "backward" of a function and the "call" of a module.

    It does nothing unless `hooked` has set a hook.
    """
    return _hook.get()(subject, phase)


class Tensor(numbers.Numbers):
    """An array of float32, float64 or complex128 that remembers how it was made.

    ``data`` is the array, ``grad`` the sum of the gradients that calls of ``backward()`` found for
    it (``None`` before; only kept where ``requires_grad`` was asked for), ``creator`` the function
    that made it (``None`` for inputs and parameters). ``version`` counts how often ``data`` was
    replaced: a backward pass refuses a tensor that changed since the forward pass.

    Raises TypeError for numbers of any other kind, which would be cut or overflow without a word,
    and for gradients of complex numbers.
    """

    __array_ufunc__ = None  # so that array * tensor comes here instead of to NumPy
    version = 0

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        self._data = _array_of(data)
        if requires_grad and self._data.dtype.kind == "c":
            raise TypeError("a gradient was asked for complex numbers: give real ones")
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.creator: Function | None = None

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, values: ArrayLike) -> None:
        self._data = _array_of(values)
        self.changed()

    def changed(self) -> None:
        """Say that the numbers in ``data`` were changed in place."""
        self.version += 1

    def __add__(self, other: "Tensor | ArrayLike") -> "Tensor":
        return Add()(self, self._operand(other))

    def __radd__(self, other: ArrayLike) -> "Tensor":
        return Add()(self._operand(other), self)

    def __sub__(self, other: "Tensor | ArrayLike") -> "Tensor":
        return Subtract()(self, self._operand(other))

    def __rsub__(self, other: ArrayLike) -> "Tensor":
        return Subtract()(self._operand(other), self)

    def __mul__(self, other: "Tensor | ArrayLike") -> "Tensor":
        return Multiply()(self, self._operand(other))

    def __rmul__(self, other: ArrayLike) -> "Tensor":
        return Multiply()(self._operand(other), self)

    def __truediv__(self, other: "Tensor | ArrayLike") -> "Tensor":
        return Divide()(self, self._operand(other))

    def __rtruediv__(self, other: ArrayLike) -> "Tensor":
        return Divide()(self._operand(other), self)

    def __neg__(self) -> "Tensor":
        return Negate()(self)

    def __pow__(self, exponent: float) -> "Tensor":
        return Power(exponent)(self)

    def __matmul__(self, other: "Tensor | ArrayLike") -> "Tensor":
        return MatMul()(self, self._operand(other))

    def __rmatmul__(self, other: ArrayLike) -> "Tensor":
        return MatMul()(self._operand(other), self)

    def __getitem__(self, index: Any) -> "Tensor":
        return Index(index)(self)

    def _operand(self, value: "Tensor | ArrayLike") -> "Tensor":
        """Numbers and arrays take this tensor's dtype: nothing is promoted silently."""
        if isinstance(value, Tensor):
            if value.dtype != self.dtype:
                raise TypeError(
                    f"tensors of {self.dtype} and {value.dtype} do not mix: convert one of them, "
                    f"such as Tensor(x.data.astype(np.{self.dtype}))"
                )
            return value
        return Tensor(self._converted(value))

    def _converted(self, value: ArrayLike) -> Array:
        return numbers.converted(value, self.dtype, self.data)

    def detach(self) -> "Tensor":
        """A tensor of the same ``data`` that leaves nothing on the tape."""
        return Tensor(self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}, requires_grad={self.requires_grad})"

    def backward(self, gy: ArrayLike | None = None) -> None:
        """Add the gradient of this tensor to ``grad`` of every tensor that requires one.

        ``gy`` is the gradient that arrives here; it may be left out for a single value, where
        it is one. The tape is freed while it is walked, so a second call raises RuntimeError.
        """
        if gy is None:
            if self.data.size != 1:
                raise RuntimeError(
                    f"backward() starts from a single value or a given gy, "
                    f"but this tensor has shape {self.shape}"
                )
            gy = like(np.ones(self.shape, self.dtype), self.data, constant=True)
        gy = self._converted(gy.data if isinstance(gy, Tensor) else gy)
        start = arithmetic.astype(gy, self.dtype)  # a copy
        if start.shape != self.shape:
            raise RuntimeError(f"gy has shape {start.shape}, the tensor has shape {self.shape}")
        if not self.requires_grad:
            raise RuntimeError("no input of this tensor requires a gradient")
        if self.creator is None:
            self._accumulate(start)
            return

        gradients = {self.creator: [start]}  # of each function's output, until it is visited
        queue = [(-self.creator.order, self.creator)]
        leaves: list[tuple[Tensor, Gradient]] = []  # no function waits for their gradients
        collect = _collector.get()
        while queue:
            _, function = heapq.heappop(queue)
            gy = arithmetic.total(*gradients.pop(function))
            for x, gx in zip(*function.take_gradients(gy), strict=True):
                if not x.requires_grad:
                    continue
                if x.creator is None:
                    leaves.append((x, collect(x, gx)))
                    continue
                if x.creator not in gradients:
                    gradients[x.creator] = []
                    heapq.heappush(queue, (-x.creator.order, x.creator))
                gradients[x.creator].append(_computed(gx))
        for x, gx in leaves:
            x._accumulate(_computed(gx))

    def _accumulate(self, gx: Array) -> None:
        self.grad = gx if self.grad is None else arithmetic.add(self.grad, gx)


class Function:
    """One differentiable operation: arrays to an array, and the gradient back.

    Subclasses define ``forward(*arrays) -> array`` and ``backward(gy) -> array or tuple`` with
    one array per input, in order. ``backward`` may return ``None`` for an input whose entry in
    ``self.needs_grad`` is False, and a callable in place of an array, which is called when that
    gradient is needed. It must not modify ``gy``, but may pass it on to one input.
    """

    exact: ClassVar[bool] = True
    """False where ``backward`` is, by design, not the derivative of ``forward``."""

    inputs: tuple[Tensor, ...] | None = ()
    versions: tuple[int, ...]  # of the inputs, when they were used
    needs_grad: tuple[bool, ...]
    order: int

    def forward(self, *xs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, gy: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __call__(self, *inputs: Tensor | ArrayLike) -> Tensor:
        """Compute the output and, unless inside ``no_grad()``, record how to go back.

        A function keeps what its one output needs, so a recorded one is not called again:
        RuntimeError.
        """
        if hasattr(self, "order"):
            raise RuntimeError(
                f"this {type(self).__name__} is on a tape already: make a new one for every call"
            )
        tensors = tuple(x if isinstance(x, Tensor) else Tensor(x) for x in inputs)
        recording = _recording.get()
        self.needs_grad = tuple(recording and x.requires_grad for x in tensors)
        with around(self, "forward"):
            y = self.forward(*(x.data for x in tensors))
        output = Tensor(y)
        output.requires_grad = any(self.needs_grad)
        if output.requires_grad:
            self.inputs = tensors
            self.versions = tuple(x.version for x in tensors)
            self.order = next(_creation_order)
            output.creator = self
        return output

    def take_gradients(self, gy: Array) -> tuple[tuple[Tensor, ...], tuple[Gradient, ...]]:
        """The inputs and their gradients; everything kept for backward is released.

        RuntimeError on a second call, and for gradients that do not fit the inputs.
        """
        inputs = self.inputs
        if inputs is None:
            raise RuntimeError(
                f"backward() came to {type(self).__name__} a second time: its tape is already "
                f"freed, compute the forward pass again"
            )
        for i, (x, version) in enumerate(zip(inputs, self.versions, strict=True)):
            if x.version != version:
                which = getattr(x, "name", "") or f"input {i}"
                raise RuntimeError(
                    f"{which} of shape {x.shape} was changed after {type(self).__name__} used it "
                    "and before backward(), whose gradient would be wrong: call backward() before "
                    "anything changes it, such as a step of the optimiser"
                )
        with around(self, "backward"):
            gradients = self.backward(gy)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        if len(gradients) != len(inputs):
            raise RuntimeError(
                f"{type(self).__name__}.backward returned {len(gradients)} gradients "
                f"for {len(inputs)} inputs"
            )
        for i, (x, gx) in enumerate(zip(inputs, gradients, strict=True)):
            if callable(gx):
                continue
            if x.requires_grad and (gx is None or gx.shape != x.shape):
                found = "no gradient" if gx is None else f"a gradient of shape {gx.shape}"
                raise RuntimeError(
                    f"{type(self).__name__}.backward returned {found} "
                    f"for input {i} of shape {x.shape}"
                )
        self.__dict__ = {"inputs": None, "order": self.order}
        return inputs, gradients


def _computed(gx: Gradient) -> Array:
    return gx() if callable(gx) else gx


def _array_of(data: Any) -> Array:
    listed = data if isinstance(data, list | tuple) else (data,)
    if any(isinstance(x, Tensor) for x in listed):
        raise TypeError("a Tensor was made of a Tensor: use its .data, or ops.concatenate for many")
    return numbers.array_of_floats(data)


def _unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of this shape was broadcast."""
    if g.shape == shape:
        return g
    leading = g.ndim - len(shape)
    stretched = tuple(i for i, n in enumerate(shape, leading) if n == 1 and g.shape[i] != 1)
    if not stretched:
        return arithmetic.leading_sum(g, leading)
    return g.sum((*range(leading), *stretched)).reshape(shape)


class Add(Function):
    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return arithmetic.add(a, b)

    def backward(self, gy: Array) -> tuple[Array, Array]:
        ga, gb = (_unbroadcast(gy, shape) for shape in self.shapes)
        return ga, arithmetic.astype(gb, gb.dtype) if gb is ga else gb


class Subtract(Function):
    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return a - b

    def backward(self, gy: Array) -> tuple[Array, Array]:
        return _unbroadcast(gy, self.shapes[0]), _unbroadcast(-gy, self.shapes[1])


class Multiply(Function):
    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return arithmetic.multiply(a, b)

    def backward(self, gy: Array) -> tuple[Array, Array]:
        ga, gb = arithmetic.multiply(gy, self.b), arithmetic.multiply(gy, self.a)
        return _unbroadcast(ga, self.a.shape), _unbroadcast(gb, self.b.shape)


class Divide(Function):
    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return a / b

    def backward(self, gy: Array) -> tuple[Array, Array]:
        ga = gy / self.b
        return _unbroadcast(ga, self.a.shape), _unbroadcast(-ga * self.a / self.b, self.b.shape)


class Negate(Function):
    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, gy: Array) -> Array:
        return -gy


class Power(Function):
    """``x**exponent`` for a number as exponent."""

    def __init__(self, exponent: float) -> None:
        if not isinstance(exponent, int | float | np.integer | np.floating):
            raise TypeError(f"expected a number as exponent, got {type(exponent).__name__}")
        self.exponent = float(exponent)

    def forward(self, x: Array) -> Array:
        self.x = x
        return x**self.exponent

    def backward(self, gy: Array) -> Array:
        if self.exponent == 0:
            return gy * 0
        return gy * (self.exponent * self.x ** (self.exponent - 1))


class MatMul(Function):
    """``a @ b`` of matrices ``(..., n, k)`` and ``(..., k, m)``, broadcast over leading axes."""

    def forward(self, a: Array, b: Array) -> Array:
        if a.ndim < 2 or b.ndim < 2:
            raise ValueError(
                f"expected matrices on both sides of @, got shapes {a.shape} and {b.shape}: "
                "reshape a vector to (n, 1) or (1, n)"
            )
        self.a, self.b = a, b
        return a @ b

    def backward(self, gy: Array) -> tuple[Array, Array]:
        ga, gb = gy @ self.b.swapaxes(-1, -2), self.a.swapaxes(-1, -2) @ gy
        return _unbroadcast(ga, self.a.shape), _unbroadcast(gb, self.b.shape)


class Index(Function):
    """``x[index]`` as NumPy has it; a gradient goes back to every place it was taken from."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x[self.index].copy()

    def backward(self, gy: Array) -> Array:
        gx = like(np.zeros(self.shape, gy.dtype), gy)
        np.add.at(gx, self.index, gy)
        return gx
