"""Random convolutions, for tests of the kernels and of what holds for any of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from minispiral.kernels import shapes
from minispiral.kernels.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad

Array = NDArray[Any]
Kernel = Callable[..., Any]


class Case(NamedTuple):
    """The sizes of one convolution."""

    n: int
    hw: tuple[int, int]
    big: int
    small: int
    kernel_hw: tuple[int, int]
    stride: int
    pad: int

    @property
    def sizes(self) -> shapes.Convolution:
        image, weights = (self.n, *self.hw, self.big), (*self.kernel_hw, self.big, self.small)
        return shapes.convolution(image, weights, self.stride, self.pad)

    @property
    def out_hw(self) -> tuple[int, int]:
        return self.sizes.oh, self.sizes.ow

    def arrays(self, rng: np.random.Generator, dtype: DTypeLike) -> tuple[Array, Array, Array]:
        """Random x, w and gy of both signs."""
        sizes = self.sizes
        x, w, gy = (
            rng.uniform(-1, 2, shape).astype(dtype)
            for shape in (sizes.image_shape, sizes.weight_shape, sizes.output_shape)
        )
        return x, w, gy

    def calls(
        self, rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[tuple[Kernel, tuple[Any, ...]], ...]:
        """The three kernels as calls on random arrays: (function, arguments)."""
        x, w, gy = self.arrays(rng, dtype)
        return (
            (conv2d, (x, w, self.stride, self.pad)),
            (conv2d_input_grad, (gy, w, self.hw, self.stride, self.pad)),
            (conv2d_weight_grad, (x, gy, self.kernel_hw, self.stride, self.pad)),
        )


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    """Every parity, remainder and overlap of window, stride and rim, at sizes loops can take."""
    kernel_hw = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    pad = draw(st.integers(0, 2))
    h, w = (draw(st.integers(max(1, k - 2 * pad), 10)) for k in kernel_hw)
    return Case(
        n=draw(st.integers(1, 3)),
        hw=(h, w),
        big=draw(st.sampled_from((1, 2, 3, 5, 64))),
        small=draw(st.sampled_from((1, 2, 3, 7, 64))),
        kernel_hw=kernel_hw,
        stride=draw(st.integers(1, 3)),
        pad=pad,
    )
