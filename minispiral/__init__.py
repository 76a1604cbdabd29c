"""Spiral-Net and the F1 pseudo-gradient for hairline cracks in concrete, on an engine of its own.

Importing the package loads nothing else: import the module you want, for example
``from minispiral.networks import build``.
"""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout the kernels lie beside this package; installed, they lie inside it.
if not (Path(__file__).parent / "kernels").is_dir():
    __path__.append(str(Path(__file__).resolve().parents[1]))
