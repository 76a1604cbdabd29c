"""Random convolutions, for tests of the kernels and of what holds for any of them."""

from typing import NamedTuple

from hypothesis import strategies as st

from minispiral.kernels.cpu.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad


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
    def out_hw(self):
        pairs = zip(self.hw, self.kernel_hw, strict=True)
        return tuple((s + 2 * self.pad - k) // self.stride + 1 for s, k in pairs)

    def arrays(self, rng, dtype):
        """Random x, w and gy of both signs."""
        shapes = (
            (self.n, *self.hw, self.big),
            (*self.kernel_hw, self.big, self.small),
            (self.n, *self.out_hw, self.small),
        )
        return tuple(rng.uniform(-1, 2, shape).astype(dtype) for shape in shapes)

    def calls(self, rng, dtype):
        """The three kernels as calls on random arrays: (function, arguments)."""
        x, w, gy = self.arrays(rng, dtype)
        return (
            (conv2d, (x, w, self.stride, self.pad)),
            (conv2d_input_grad, (gy, w, self.hw, self.stride, self.pad)),
            (conv2d_weight_grad, (x, gy, self.kernel_hw, self.stride, self.pad)),
        )


@st.composite
def small_cases(draw):
    """Every parity, remainder and overlap of window, stride and rim, at sizes loops can take."""
    kernel_hw = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    pad = draw(st.integers(0, 2))
    hw = tuple(draw(st.integers(max(1, k - 2 * pad), 10)) for k in kernel_hw)
    return Case(
        n=draw(st.integers(1, 3)),
        hw=hw,
        big=draw(st.sampled_from((1, 2, 3, 5, 64))),
        small=draw(st.sampled_from((1, 2, 3, 7, 64))),
        kernel_hw=kernel_hw,
        stride=draw(st.integers(1, 3)),
        pad=pad,
    )
