"""Wrong answers to chapter 4; the docstring is what the check says of them."""

import numpy as np

from tests.book.told import told


def central(f, x, v, h):
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


def wrong_4_1_not_extrapolated(f, x, v, h):
    r"""is D\(h/2\): it is not extrapolated"""
    return central(f, x, v, h / 2)


def wrong_4_1_steps_exchanged(f, x, v, h):
    """the steps are exchanged"""
    return (4 * central(f, x, v, h) - central(f, x, v, h / 2)) / 3


def wrong_4_1_for_first_order(f, x, v, h):
    """which suits forward differences"""
    return 2 * central(f, x, v, h / 2) - central(f, x, v, h)


def wrong_4_1_along_no_direction(f, x, v, h):
    """the derivative by x, not along v"""
    ones = np.ones_like(x)
    return (4 * central(f, x, ones, h / 2) - central(f, x, ones, h)) / 3


def wrong_4_1_forward_differences(f, x, v, h):
    """is made of forward differences"""

    def forward(h):
        return (f(x + h * v) - f(x)) / h

    return (4 * forward(h / 2) - forward(h)) / 3


def wrong_4_1_changes_x(f, x, v, h):
    """changed x"""
    result = (4 * central(f, x, v, h / 2) - central(f, x, v, h)) / 3
    x += h * v
    return result


def wrong_4_2_length(z):
    """is real: the derivative, which is in the imaginary part, is lost"""
    return np.abs(z)


def wrong_4_2_root_of_square(z):
    """a square leaves float64's range"""
    with np.errstate(all="ignore"):
        return np.sqrt(z * z)


def wrong_4_2_by_the_imaginary_part(z):
    r"""at \[\d\], expected"""
    return np.where(z.imag < 0, -z, z)


def wrong_4_2_always_complex(z):
    """is complex, expected real numbers"""
    return np.where(z.real < 0, -z, z) + 0j


def wrong_4_2_sign_of_the_imaginary_part(z):
    r"""the imaginary part of absolute\(x \+ 1e-40j\), over 1e-40, is 1 at \[\d\], expected -1"""
    return np.abs(z.real) + 1j * z.imag if np.iscomplexobj(z) else np.abs(z)


def slopes(f, x, h):
    moves = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + m) - f(x - m)) / (2 * h) for m in moves]).reshape(x.shape)


def wrong_4_3_large_step(f, gradient, x):
    r"""blamed \[.*\], which is right"""
    true = slopes(f, x, 1e-2)
    return np.abs(gradient - true) > 1e-9 * np.abs(true).max()


def wrong_4_3_large_tolerance(f, gradient, x):
    r"""missed \[.*\], which is 1e-08 of the largest element too large"""
    true = slopes(f, x, 1e-5)
    return np.abs(gradient - true) > 1e-6 * np.abs(true).max()


def wrong_4_3_nothing(f, gradient, x):
    r"""missed \[.*\], which is .* too large"""
    return np.zeros(x.shape, np.bool_)


def wrong_4_3_along_one_direction(f, gradient, x):
    """returned .*, expected a boolean array"""
    v = np.ones_like(x)
    return abs(f(x + 1e-40j * v).imag / 1e-40 - np.sum(gradient)) > 1e-9


def wrong_4_3_moves_x(f, gradient, x):
    """changed x"""
    true = slopes(f, x, 1e-3)
    x += 1e-3
    return np.abs(gradient - true) > 1e-9


def wrong_4_3_central_differences(f, gradient, x):
    """so curved that no difference quotient is exact enough"""
    true = slopes(f, x, 1e-5)
    return np.abs(gradient - true) > 1e-9 * np.abs(true).max()


def wrong_4_3_richardson(f, gradient, x):
    """so curved that no difference quotient is exact enough"""
    true = (4 * slopes(f, x, 5e-4) - slopes(f, x, 1e-3)) / 3
    return np.abs(gradient - true) > 1e-9 * np.abs(true).max()


wrong_4_1_not_divided_by_3 = told(
    r"is 4 D\(h/2\) - D\(h\): divide by 3",
    lambda f, x, v, h: 4 * central(f, x, v, h / 2) - central(f, x, v, h),
)
wrong_4_1_length_of_v = told(
    "v says how far", lambda f, x, v, h: right_4_1(f, x, v / np.linalg.norm(v), h)
)
wrong_4_1_sign = told("with the wrong sign", lambda f, x, v, h: -right_4_1(f, x, v, h))
wrong_4_1_an_array = told("returned ndarray", lambda f, x, v, h: right_4_1(f, x, v, h) * v)
wrong_4_1_nothing = told("returned None", lambda f, x, v, h: None)
wrong_4_1_float32 = told(
    "as in float32", lambda f, x, v, h: np.float32(right_4_1(f, x, v, h) * (1 + 1e-6))
)
wrong_4_1_always_2h = told(
    r"moves by h/2 and still divides by 2 h",
    lambda f, x, v, h: (4 * central(f, x, v, h / 2) / 2 - central(f, x, v, h)) / 3,
)


def right_4_1(f, x, v, h):
    return (4 * central(f, x, v, h / 2) - central(f, x, v, h)) / 3


wrong_4_2_imaginary_part_dropped = told(
    "is 0 everywhere: the derivative is lost", lambda z: np.abs(z.real) + 0 * z
)
wrong_4_2_one_number = told("fails with ValueError", lambda z: -z if z.real < 0 else z)
wrong_4_2_a_list = told(
    "returned list, expected an array", lambda z: [-x if x.real < 0 else x for x in z]
)
wrong_4_2_conjugate = told("the derivative is lost", lambda z: np.sqrt(z * np.conj(z)))
wrong_4_2_other_way_round = told("is -.*, expected", lambda z: np.where(z.real > 0, -z, z))


def by_complex_steps(f, x, h=1e-40):
    found = [f(x + 1j * h * u.reshape(x.shape)).imag / h for u in np.eye(x.size)]
    return np.array(found).reshape(x.shape)


wrong_4_3_too_large_only = told(
    "which is .* too small",
    lambda f, g, x: g - by_complex_steps(f, x) > 1e-9 * np.abs(g).max(),
)
wrong_4_3_places = told(
    r"returned an array .* of int64, expected a boolean array",
    lambda f, g, x: np.flatnonzero(np.abs(g - by_complex_steps(f, x)) > 1e-9 * np.abs(g).max()),
)
wrong_4_3_exactly_equal = told(
    "blamed .*, which is right", lambda f, g, x: g != by_complex_steps(f, x)
)
wrong_4_3_nothing_returned = told("returned None", lambda f, g, x: None)
wrong_4_3_right_elements = told(
    "blamed .*, which is right",
    lambda f, g, x: np.abs(g - by_complex_steps(f, x)) < 1e-9 * np.abs(g).max(),
)
