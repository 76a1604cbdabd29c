"""The figures to touch: their numbers are the library's, their pictures are what they draw."""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minispiral.kernels import conv2d, losses
from minispiral.networks.spiral import EncoderDecoder
from minispiral.tensor import Tensor
from tests.report.browser import Browser, browsing, chromium
from tests.small import ROOT

FIGURES = ROOT / "docs" / "book" / "figures"
NAMES = {
    "taps": "02_convolution",
    "step": "04_gradients",
    "weights": "05_f1",
    "field": "06_spiral_net",
}

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A page with the figures, as small as a page can be."""
    pictures = "".join(f"<p><img alt='A {n}' src='figures/{n}.svg'></p>" for n in NAMES)
    scripts = "".join(f"<script src='figures/{n}.js'></script>" for n in ("touch", *NAMES))
    folder = tmp_path_factory.mktemp("touch")
    shutil.copytree(FIGURES, folder / "figures")
    path = folder / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{pictures}{scripts}")
    with browsing(folder / "profile", chromium() or "") as browser:
        browser.open(path)
        yield browser
        assert browser.errors == []
        assert all(url.startswith(folder.as_uri()) for url in browser.requests)


def computed(page: Browser, name: str, **values: float | str) -> dict[str, Any]:
    found: dict[str, Any] = page.look(f"touch.figures.{name}.compute({json.dumps(values)})")
    return found


def test_the_weights_and_gradients_are_the_librarys(
    page: Browser, rng: np.random.Generator
) -> None:
    crack = rng.random(150) < 0.2
    crack[0] = True
    x = rng.normal(0, 3, 150)
    loss = losses.F1()
    sums = losses.sums(loss, x, crack)
    n_pos, sum_pos, sum_all = map(float, sums)
    found = computed(page, "weights", positives=n_pos, onCrack=sum_pos, elsewhere=sum_all - sum_pos)
    on_crack, elsewhere = loss.weights(sums, x.size)
    np.testing.assert_allclose([found["crack"], found["other"]], [on_crack, elsewhere])
    np.testing.assert_allclose(found["ratio"], on_crack / elsewhere)
    np.testing.assert_allclose(found["f1"], np.exp(-loss.value(sums, x.size)))
    each = page.look(
        f"{json.dumps([[float(a), bool(b)] for a, b in zip(x, crack, strict=True)])}.map("
        f"([x, crack]) => touch.figures.weights.gradients({json.dumps(found)}, x, crack))"
    )
    for name, rule in (("eq8", loss), ("eq11", losses.PseudoF1())):
        expected = np.abs(losses.gradient(rule, x, crack, sums))
        np.testing.assert_allclose([one[name] for one in each], expected, rtol=1e-9)


@pytest.mark.parametrize("kernel", range(1, 6))
def test_the_taps_are_what_a_scatter_of_ones_gives(
    page: Browser, rng: np.random.Generator, kernel: int
) -> None:
    stride, pad = int(rng.integers(1, 4)), int(rng.integers(0, min(3, kernel)))
    place = int(rng.integers(6))
    found = computed(page, "taps", kernel=kernel, stride=stride, pad=pad, place=place)
    side = found["larger"]
    assert (side + 2 * pad - kernel) / stride + 1 == 6
    small, weights = np.ones((1, 6, 6, 1)), np.ones((kernel, kernel, 1, 1))
    expected = conv2d.conv2d_input_grad(small, weights, (side, side), stride, pad)[0, ..., 0]
    np.testing.assert_array_equal(np.multiply.outer(found["taps"], found["taps"]), expected)

    one = np.zeros((1, 6, 6, 1))
    one[0, place, place] = 1
    reached = conv2d.conv2d_input_grad(one, weights, (side, side), stride, pad)[0, ..., 0]
    inside = [col for col in found["window"] if 0 <= col < side]
    np.testing.assert_array_equal(np.flatnonzero(reached.any(axis=0)), inside)

    resized = small.repeat(stride, axis=1).repeat(stride, axis=2)
    expected = conv2d.conv2d(resized, weights, 1, kernel // 2)[0, ..., 0]
    np.testing.assert_array_equal(np.multiply.outer(found["resized"], found["resized"]), expected)


FUNCTIONS: dict[str, tuple[Any, Any]] = {  # each with its derivative, for complex numbers too
    "sin x": (np.sin, np.cos),
    "exp x": (np.exp, np.exp),
    "x³": (lambda x: x * x * x, lambda x: 3 * x * x),
    "|x|": (lambda x: np.where(np.real(x) < 0, -x, x)[()], np.sign),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("of", FUNCTIONS)
def test_the_errors_of_differences_are_those_of_numpy(
    page: Browser, rng: np.random.Generator, of: str, precision: str
) -> None:
    real = np.dtype(precision).type
    f, slope = FUNCTIONS[of]
    place, eps = float(rng.uniform(0.1, 3)), np.finfo(real).eps
    for power in rng.uniform(-20, 0, 20):
        values = {"of": of, "precision": precision, "x": place, "power": power}
        found = computed(page, "step", **values)
        x, h = real(place), real(found["h"])
        np.testing.assert_allclose(h, 10**power, rtol=2 * eps)
        step = np.array(1j * h, np.result_type(real, np.complex64))[()]
        expected = [
            (f(x + h) - f(x)) / h,
            (f(x + h) - f(x - h)) / (2 * h),
            np.imag(f(x + step)) / h,
        ]
        assert all(one.dtype == real for one in expected)
        # Values of sin and exp may differ by a rounding or two, products and sums may not.
        rounding = 8 * eps * abs(f(x + h)) / h if of in ("sin x", "exp x") else 0
        np.testing.assert_allclose(found["found"][:2], expected[:2], rtol=4 * eps, atol=rounding)
        np.testing.assert_allclose(found["found"][2], expected[2], rtol=8 * eps, atol=8 * eps * h)
        np.testing.assert_allclose(found["truth"], slope(float(x)), rtol=1e-14)
        off = np.abs(np.array(found["found"]) / slope(float(x)) - 1)
        np.testing.assert_allclose(found["off"], off, rtol=1e-6, atol=1e-15)
        most = 7 if precision == "float32" else 16
        right = np.floor(-np.log10(np.maximum(found["off"], 1e-17))).clip(0, most)
        np.testing.assert_array_equal(found["digits"], right)


def test_the_curves_of_errors_go_through_what_is_chosen(
    page: Browser, rng: np.random.Generator
) -> None:
    power = -0.5 * int(rng.integers(0, 41))
    found = computed(page, "step", of="exp x", precision="float32", x=1.3, power=power)
    np.testing.assert_array_equal(found["powers"], np.arange(-20, 0.1, 0.125))
    assert found["curves"][found["powers"].index(power)] == found["off"]


@pytest.mark.parametrize("depth", range(1, 6))
def test_the_field_is_where_the_gradient_is_not_zero(
    page: Browser, rng: np.random.Generator, depth: int
) -> None:
    side = 63
    module = EncoderDecoder(1, depth, 1 / 16, rng).eval()
    for parameter in module.parameters():
        parameter.data = np.abs(parameter.data)
    page.look(f"touch.figures.field.side = {side}")
    for pixel in (0, int(rng.integers(1, side - 1)), side - 1):
        photo = rng.uniform(0.1, 1, (1, side, side, 1)).astype(np.float32)
        x = Tensor(photo, requires_grad=True)
        y = module(x)
        pick = np.zeros(y.shape, y.dtype)
        pick[0, pixel, 31] = 1
        y.backward(pick)
        assert x.grad is not None
        rows = np.flatnonzero((x.grad[0] != 0).any(axis=(1, 2)))
        found = computed(page, "field", depth=depth, pixel=pixel)
        assert [found["first"], found["last"]] == [rows[0], rows[-1]]
    page.look("touch.figures.field.side = 255")


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_for_print_is_what_the_figure_draws(page: Browser, name: str) -> None:
    drawn = page.look(f"touch.still('{name}')") + "\n"
    assert (FIGURES / f"{name}.svg").read_text() == drawn, "save what touch.still gives"
    (chapter,) = (ROOT / "docs" / "book").glob(f"{NAMES[name]}.py")
    assert f"(figures/{name}.svg)" in chapter.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_key_moves_a_figure_and_what_it_says(page: Browser, name: str) -> None:
    box = f"document.querySelector('[aria-label=\"A {name}\"]')"
    said = f"{box}.querySelector('[aria-live]').textContent"
    drawn = f"{box}.querySelector('svg').outerHTML"
    before = page.look(f"[{said}, {drawn}]")
    page.look(f"{box}.querySelectorAll('input')[1].focus()")
    page.press("ArrowLeft", 37)
    after = page.look(f"[{said}, {drawn}]")
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert not re.search("NaN|undefined|Infinity", "".join(after))


def test_every_setting_can_be_drawn(page: Browser) -> None:
    """All ends of all inputs together: no number is missing."""
    wrong = page.look(
        """
        Object.entries(touch.figures).flatMap(([name, figure]) => {
          let all = [{}];
          for (const input of figure.inputs) {
            const ends = (one) => input.options ?? [input.min, touch.most(input, one)];
            all = all.flatMap((one) => ends(one).map((end) => ({ ...one, [input.name]: end })));
          }
          return all.filter((one) => {
            const numbers = figure.compute(one);
            const all = figure.draw(numbers, one) + figure.say(numbers, one);
            return /NaN|undefined|Infinity/.test(all);
          }).map((one) => [name, one]);
        })
        """
    )
    assert wrong == []
