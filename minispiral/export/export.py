"""The network of a run as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minispiral.errors import UserError
from minispiral.export.compare import Comparison, compare
from minispiral.export.metadata import as_properties, metadata
from minispiral.export.translate import IR_VERSION, OPSET, model_of, translate
from minispiral.files import check_place, replacing
from minispiral.runs.checkpoint import load, network_of
from minispiral.runs.trained import checkpoint_of

EXTRA = "pip install 'minispiral[onnx]'"


@dataclass(frozen=True)
class Export:
    """A model that was written: what its properties say, and how it compares with the network."""

    path: Path
    size: int  # bytes
    properties: dict[str, Any]
    comparison: Comparison | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values by name; those of a comparison are null where there was none."""
        compared = self.comparison
        return {
            "model": str(self.path),
            "bytes": self.size,
            "opset": OPSET,
            "ir_version": IR_VERSION,
            "runtime": compared and compared.runtime,
            "largest_difference": compared and compared.difference,
            "float32_rounding": compared and compared.rounding,
            "probabilities": compared and [compared.lowest, compared.highest],
            **self.properties,
        }


def export(
    run: Path | str, path: Path | str, uint8: bool = False, licence: str | None = None
) -> Export:
    """Write the network of ``run`` to ``path``, as ONNX; see `translate` for its input and output.

    ``run`` is that of `checkpoint_of`; ``licence`` says under which one the weights are. The model
    is compared with the network (`compare`) before it takes the place of ``path``.

    Raises `UserError` without the package onnx, for a name that does not end in ``.onnx``, for a
    run without a usable network, for a model that computes something else than the network, and
    when the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise UserError(f"{path} was given for the model, expected a name ending in .onnx", "model")
    check_place(path, "model")
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise UserError(f"the package onnx is not installed; {EXTRA}") from error
    source = checkpoint_of(run)
    checkpoint = load(source)
    network = network_of(source, checkpoint)
    graph = translate(network, uint8)
    properties = metadata(source, checkpoint, network, graph, uint8, licence)
    model = model_of(graph, uint8, as_properties(properties)).SerializeToString()
    comparison = compare(model, network, uint8)
    with replacing(path) as file:
        file.write(model)
    return Export(path, len(model), properties, comparison)
