"""Tensor, Function and the tape that back-propagation walks.

Every operation is a `Function` with a ``forward`` and a ``backward`` on plain arrays.
Calling one on tensors computes the result and, where a gradient is wanted, leaves the function
attached to its output as ``output.creator``. These links are the tape. ``output.backward()``
visits the functions in reverse order of creation and hands each one the gradient of its output.

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
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minispiral import profiling
from minispiral.kernels.dispatch import arithmetic, constant, like, on_device

Array = NDArray[Any]

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_creation_order = itertools.count()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside this context operations leave nothing on the tape."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


class Tensor:
    """An array that remembers how it was made.

    ``data`` is the array, ``grad`` the sum of the gradients that calls of ``backward()`` found for
    it (``None`` before; only kept where ``requires_grad`` was asked for), ``creator`` the function
    that made it (``None`` for inputs and parameters).
    """

    __array_ufunc__ = None  # so that array * tensor comes here instead of to NumPy

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        self.data = _as_array(data)
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.creator: Function | None = None

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

    def _operand(self, value: "Tensor | ArrayLike") -> "Tensor":
        """Numbers and arrays take this tensor's dtype: nothing is promoted silently."""
        if isinstance(value, Tensor):
            return value
        if on_device(value):
            return Tensor(arithmetic.astype(value, self.dtype))
        return Tensor(constant(np.asarray(value, self.dtype), self.data))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

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
            gy = constant(np.ones(self.shape, self.dtype), self.data)
        start = arithmetic.astype(like(_as_array(gy), self.data), self.dtype)  # a copy
        if start.shape != self.shape:
            raise RuntimeError(f"gy has shape {start.shape}, the tensor has shape {self.shape}")
        if not self.requires_grad:
            raise RuntimeError("no input of this tensor requires a gradient")
        if self.creator is None:
            self._accumulate(start)
            return

        gradients = {self.creator: start}  # of each function's output, until it is visited
        queue = [(-self.creator.order, self.creator)]
        leaves: list[tuple[Tensor, Array | Future[Array]]] = []  # no function waits for theirs
        while queue:
            _, function = heapq.heappop(queue)
            for x, gx in zip(*function.take_gradients(gradients.pop(function)), strict=True):
                if not x.requires_grad:
                    continue
                if x.creator is None:
                    leaves.append((x, gx))
                elif x.creator in gradients:
                    gradients[x.creator] = arithmetic.add(gradients[x.creator], _there(gx))
                else:
                    gradients[x.creator] = _there(gx)
                    heapq.heappush(queue, (-x.creator.order, x.creator))
        for x, gx in leaves:
            x._accumulate(_there(gx))

    def _accumulate(self, gx: Array) -> None:
        self.grad = gx if self.grad is None else arithmetic.add(self.grad, gx)


class Function:
    """One differentiable operation: arrays to an array, and the gradient back.

    Subclasses define ``forward(*arrays) -> array`` and ``backward(gy) -> array or tuple`` with
    one array per input, in order. ``backward`` may return ``None`` for an input whose entry in
    ``self.needs_grad`` is False, and a `Future` of a gradient that is still being computed. It
    leaves ``gy`` as it is, but may pass it on to one input.
    """

    exact: ClassVar[bool] = True
    """False where ``backward`` is, by design, not the derivative of ``forward``."""

    profiled_as: ClassVar[str] = ""
    """What a profile counts its time as; the name of the class where empty."""

    inputs: tuple[Tensor, ...] | None = ()
    needs_grad: tuple[bool, ...]
    order: int
    made_in: str | None  # the layer, where a profile runs

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
        with profiling.span(self.profiled_as or type(self).__name__, "forward") as layer:
            y = self.forward(*(x.data for x in tensors))
        output = Tensor(y, any(self.needs_grad))
        if output.requires_grad:
            self.inputs = tensors
            self.made_in = layer
            self.order = next(_creation_order)
            output.creator = self
        return output

    def taped_inputs(self) -> tuple[Tensor, ...]:
        """The inputs; RuntimeError once everything kept for backward was let go."""
        if self.inputs is None:
            raise RuntimeError(
                f"backward() came to {type(self).__name__} a second time: its tape is already "
                f"freed, compute the forward pass again"
            )
        return self.inputs

    def take_gradients(
        self, gy: Array
    ) -> tuple[tuple[Tensor, ...], tuple[Array | Future[Array], ...]]:
        """The inputs and their gradients; everything kept for backward is let go."""
        inputs = self.taped_inputs()
        kind = self.profiled_as or type(self).__name__
        with profiling.span(kind, "backward", self.made_in):
            gradients = self.backward(gy)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        if len(gradients) != len(inputs):
            raise RuntimeError(
                f"{type(self).__name__}.backward returned {len(gradients)} gradients "
                f"for {len(inputs)} inputs"
            )
        for i, (x, gx) in enumerate(zip(inputs, gradients, strict=True)):
            if isinstance(gx, Future):
                continue
            if x.requires_grad and (gx is None or gx.shape != x.shape):
                found = "no gradient" if gx is None else f"a gradient of shape {gx.shape}"
                raise RuntimeError(
                    f"{type(self).__name__}.backward returned {found} "
                    f"for input {i} of shape {x.shape}"
                )
        self.__dict__ = {"inputs": None, "order": self.order}
        return inputs, gradients


def _there(gx: "Array | Future[Array]") -> Array:
    """A gradient, once it is computed."""
    return gx.result() if isinstance(gx, Future) else gx


def _as_array(data: Any) -> Array:
    """An array of the device as it is; anything else as one of NumPy."""
    array: Array = data if on_device(data) else np.asarray(data)
    return array


def _unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of this shape was repeated."""
    if g.shape == shape:
        return g
    leading = g.ndim - len(shape)
    repeated = tuple(i for i, n in enumerate(shape, leading) if n == 1 and g.shape[i] != 1)
    if not repeated:
        total: Array = arithmetic.leading_sum(g, leading)
    else:
        total = g.sum((*range(leading), *repeated)).reshape(shape)
    return total


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
