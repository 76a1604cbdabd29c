"""The double of CuPy has the names of CuPy; and the comparison sees where it has not."""

import sys
from importlib.util import find_spec

import pytest

from tests.cuda_on_cpu import check_double, needs_compiler


@needs_compiler
@pytest.mark.skipif(
    find_spec("cupy") is None,
    reason="CuPy is not installed; python -m tests.cuda_on_cpu.check_double downloads it",
)
def test_the_double_is_like_the_cupy_of_this_interpreter():
    assert check_double.check(sys.executable) == []


def launch(grid, block, args, *, shared_mem=0):
    """What the double would have."""


@pytest.mark.parametrize(
    ("doc", "signature", "expected"),
    [
        ("launch(self, grid, tuple block=(1,), args=None, *, size_t shared_mem=0)", None, None),
        (
            "Runs it.",
            "(grid: 'Sizes', block: dict[str, int], args, shared_mem: int = 0) -> None",
            None,
        ),
        ("launch(self, block, grid, args, *, shared_mem=0)", None, "grid is argument 1 of CuPy's"),
        ("launch(self, grid, block, args, *, shared=0)", None, "CuPy takes no shared_mem"),
        (
            "launch(self, grid, block, args, *, int shared_mem=8)",
            None,
            "is 8 by default, 0 here",
        ),
        ("launch(self, grid, block, args, stream, *, shared_mem=0)", None, "CuPy demands stream"),
        ("Runs it.", None, "does not say"),
    ],
)
def test_other_arguments_are_seen(doc, signature, expected):
    found = check_double.differences("cupy.launch", launch, {"doc": doc, "signature": signature})
    assert (found == []) if expected is None else expected in found[0]


def test_a_name_that_cupy_has_not_is_seen():
    assert check_double.differences("cupy.launch", launch, None) == [
        "cupy.launch: CuPy has no such name"
    ]
