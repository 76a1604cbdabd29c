"""An ONNX graph in the making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minispiral.nn import Parameter
from minispiral.tensor import Tensor

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


@dataclass
class Graph:
    """Nodes in the order in which they run, and the constants that they read.

    Images are ``(n, c, h, w)`` in here, as ONNX's convolutions have them; what is a tensor
    ``(n, h, w, c)`` of the library keeps its meaning and changes its order.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    learnt: set[str] = field(default_factory=set)  # the constants that come from parameters

    def node(
        self, operator: str, *inputs: str, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node with one output; the name of that."""
        from onnx import helper

        name = f"{operator}_{len(self.nodes)}"
        output = output or name
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def constant(self, values: Array | Sequence[int], of: Tensor | None = None) -> str:
        """Add numbers; their name, which is that of the parameter they are made of, if any.

        Floating-point numbers become float32, others int64. Those of a parameter that several nodes
        share are kept once.
        """
        array = np.asarray(values)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = of.name if isinstance(of, Parameter) else ""
        if not name or not np.array_equal(self.constants.get(name, array), array):
            name = f"{name or 'constant'}_{len(self.constants)}"
        self.constants[name] = array
        if isinstance(of, Parameter):
            self.learnt.add(name)
        return name

    def image(self, x: str | Tensor) -> str:
        """The name of an operand of elementwise arithmetic.

        A constant one, which broadcasts to ``(n, h, w, c)``, gets the order of ``(n, c, h, w)``.
        """
        if isinstance(x, str):
            return x
        missing = (1,) * (4 - x.data.ndim)
        return self.constant(x.data.reshape(missing + x.shape).transpose(0, 3, 1, 2), x)

    @property
    def parameters(self) -> int:
        """How many numbers the constants hold that come from parameters."""
        return sum(self.constants[name].size for name in self.learnt)
