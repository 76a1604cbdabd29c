"""What a front calls is there for NumPy and for CUDA, with the same parameters."""

import ast
import inspect
from importlib import import_module

import pytest

from tests.small import ROOT

FRONTS = [
    "adam",
    "arithmetic",
    "batchnorm",
    "clip",
    "conv2d",
    "layout",
    "losses",
    "pooling",
    "statistics",
    "tiles",
]


def called(front):
    """The names of the functions that a front calls in ``twin``, whichever that is."""
    tree = ast.parse((ROOT / "kernels" / f"{front}.py").read_text(encoding="utf-8"))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {a.attr for a in attributes if ast.unparse(a.value).endswith(("twin", "else cpu"))}


@pytest.mark.parametrize("front", FRONTS)
def test_twins_take_the_same_parameters(front):
    names = called(front)
    assert names
    twins = [import_module(f"minispiral.kernels.{side}.{front}") for side in ("cpu", "cuda")]
    for name in names:
        cpu, cuda = (list(inspect.signature(getattr(twin, name)).parameters) for twin in twins)
        assert cpu == cuda, name


def test_every_front_is_looked_at():
    """A front is what imports a twin of its own name from both sides."""
    found = {
        path.stem
        for path in (ROOT / "kernels").glob("*.py")
        if "from .cuda import" in path.read_text(encoding="utf-8")
    }
    assert found == set(FRONTS)
