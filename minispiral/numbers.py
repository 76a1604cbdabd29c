"""The numbers of tensors: which they take, and what users of NumPy expect of them.

Whole numbers in a tensor would make ``x * 0.5`` zero and half floats a mean infinite, without a
word. So everything but float32, float64 and complex128 is refused.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minispiral.kernels import arithmetic
from minispiral.kernels.arrays import Array, like, on_gpu

DTYPES = (np.float32, np.float64, np.complex128)


def array_of_floats(data: ArrayLike | Array) -> Array:
    """An array on the GPU as it is, anything else as a NumPy array; TypeError unless of floats."""
    array: Array = data if on_gpu(data) else np.asarray(data)
    if array.dtype not in DTYPES:
        raise TypeError(
            f"tensors hold float32, float64 or complex128, got {array.dtype}: write floats, such "
            "as 1.0, or convert with .astype(np.float32)"
        )
    return array


def converted(value: ArrayLike | Array, dtype: DTypeLike, other: Array) -> Array:
    """An array of this dtype where ``other`` lies.

    Fractions are rounded to the nearest number of the dtype. Raises TypeError for what is no
    number, for complex numbers that would lose their imaginary part, and for numbers that would
    become another whole number, zero or infinite.
    """
    dtype = np.dtype(dtype)
    if on_gpu(value):
        return arithmetic.astype(value, dtype)
    given = np.asarray(value)
    if given.dtype.kind not in "biufc" or (given.dtype.kind == "c" and dtype.kind != "c"):
        what = type(value).__name__ if given.dtype == object else given.dtype
        raise TypeError(f"expected numbers for a tensor of {dtype}, got {what}: {value!r}")
    if given.dtype == dtype:
        return like(given, other, constant=True)
    with np.errstate(over="ignore", under="ignore"):
        array = given.astype(dtype)
    if given.dtype.kind in "iu":
        lost = array.real.astype(np.longdouble) != given
    else:
        lost = (np.isfinite(given) & ~np.isfinite(array)) | ((array == 0) & (given != 0))
    if np.any(lost):
        raise TypeError(
            f"{given[lost].flat[0] if given.ndim else given} cannot be held by {dtype}, which "
            "this tensor has: use a float64 tensor, or scale the numbers"
        )
    return like(array, other, constant=True)


class Numbers:
    """What holds an array in ``data``, as Python and NumPy see it."""

    data: Array
    requires_grad: bool

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def item(self) -> Any:
        """The one number of a tensor that has only one; ValueError if it has more."""
        if self.data.size != 1:
            raise ValueError(f"expected a tensor of one number, this one has shape {self.shape}")
        return self.data.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad or on_gpu(self.data):
            where = "lies on the GPU" if on_gpu(self.data) else "has a gradient, which is lost"
            raise TypeError(f"this tensor {where} in NumPy: pass its .data, or .detach() it first")
        return np.array(self.data, dtype, copy=copy)

    def __eq__(self, other: object) -> Any:
        return self.data == _values(other)

    def __ne__(self, other: object) -> Any:
        return self.data != _values(other)

    def __lt__(self, other: "Numbers | ArrayLike") -> Array:
        return self.data < _values(other)

    def __le__(self, other: "Numbers | ArrayLike") -> Array:
        return self.data <= _values(other)

    def __gt__(self, other: "Numbers | ArrayLike") -> Array:
        return self.data > _values(other)

    def __ge__(self, other: "Numbers | ArrayLike") -> Array:
        return self.data >= _values(other)

    __hash__ = object.__hash__  # tensors are told apart by what they are, not by their numbers


def _values(other: Any) -> Any:
    return other.data if isinstance(other, Numbers) else other
