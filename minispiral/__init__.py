"""Spiral-Net and the F1 pseudo-gradient for hairline cracks in concrete, on an engine of its own.

Importing the package loads nothing else: import the module you want, for example
``from minispiral.networks import build``.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

__version__ = "0.1.0"


def _find_kernels(checkout: Path) -> None:
    """Make ``checkout/kernels`` importable as ``minispiral.kernels``, and nothing beside it."""
    name = f"{__name__}.kernels"
    spec = spec_from_file_location(name, checkout / "kernels" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = globals()["kernels"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


# In a checkout the kernels lie beside this package; installed, they lie inside it.
if not (Path(__file__).parent / "kernels").is_dir():
    _find_kernels(Path(__file__).resolve().parents[1])
