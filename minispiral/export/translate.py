"""From a network to an ONNX model: the tape of one forward pass, function by function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from minispiral import ops
from minispiral.errors import UserError
from minispiral.export.graph import Graph
from minispiral.export.table import TABLE
from minispiral.networks import Network
from minispiral.tensor import Function, Tensor

if TYPE_CHECKING:
    import onnx

# The oldest with all that is used here (start and end of Shape), for the sake of old runtimes: any
# onnxruntime since 1.10, of 2021, reads it, with the version of the format that belongs to it.
OPSET = 15
IR_VERSION = 8
LARGEST = 2**31 - 1  # bytes of a file, which is one message of Protocol Buffers

INPUT, OUTPUT = "photo", "probability"


def translate(network: Network, uint8: bool = False) -> Graph:
    """The graph of ``sigmoid(network(x))`` in evaluation mode.

    Its input ``photo`` is ``(batch, height, width, 3)``: float32 from -1 to 1 or, with ``uint8``,
    the pixels as photographs have them. Its output ``probability`` is ``(batch, height, width)``,
    float32. All three are free, within what `Network.check_side` accepts: for other sides the last
    node fails, which gives the probabilities the shape of the photograph.

    Raises `UserError` for a function that is not in `TABLE`.
    """
    x, y = _taped(network)
    graph = Graph()
    # by the function that made them; none made the photograph
    values: dict[Function | None, str] = {None: _normalised(graph, uint8)}
    for function in _in_order(y):
        if type(function) not in TABLE:
            raise UserError(
                f"the network computes {type(function).__name__}, for which ONNX has no entry in "
                "minispiral.export.table; add one that says which nodes it becomes"
            )
        assert function.inputs is not None
        inputs = [
            values[i.creator] if i is x or i.creator is not None else i for i in function.inputs
        ]
        values[function] = TABLE[type(function)](graph, function, *inputs)
    shape = graph.node("Shape", INPUT, start=0, end=3)
    graph.node("Reshape", values[y.creator], shape, output=OUTPUT)
    return graph


def _taped(network: Network) -> tuple[Tensor, Tensor]:
    """A picture of the smallest valid size, and its probabilities with their tape."""
    side = 2 * network.unit - 1
    x = Tensor(np.zeros((1, side, side, 3), np.float32), requires_grad=True)
    training = network.training
    network.parameters()  # tells them their names
    network.eval()
    try:
        return x, ops.sigmoid(network(x))
    finally:
        if training:
            network.train()


def _in_order(y: Tensor) -> list[Function]:
    """The functions that ``y`` was computed by, in the order in which they ran."""
    found: set[Function] = set()
    ahead = [y.creator]
    while ahead:
        function = ahead.pop()
        if function is not None and function not in found:
            found.add(function)
            ahead += [x.creator for x in function.inputs or ()]
    return sorted(found, key=lambda function: function.order)


def _normalised(graph: Graph, uint8: bool) -> str:
    """The photograph as networks take it, with the channels first."""
    x = INPUT
    if uint8:
        from onnx import TensorProto

        x = graph.node("Cast", x, to=TensorProto.FLOAT)
        x = graph.node("Div", x, graph.constant(np.array([127.5])))
        x = graph.node("Sub", x, graph.constant(np.array([1.0])))
    return graph.node("Transpose", x, perm=[0, 3, 1, 2])


def model_of(graph: Graph, uint8: bool, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The graph as a model that `onnx.checker` accepts, with ``metadata`` as its properties.

    Raises `UserError` for more weights than the format holds.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    size = sum(array.nbytes for array in graph.constants.values())
    if size > LARGEST - 2**20:  # all else together takes less
        raise UserError(
            f"the weights take {size / 1e9:.1f} GB, but an ONNX file holds 2 GB; export a network "
            "of a smaller width"
        )
    batch, sides = "batch", ["height", "width"]
    kind = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
    made = helper.make_graph(
        graph.nodes,
        "minispiral",
        [helper.make_tensor_value_info(INPUT, kind, [batch, *sides, 3])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, *sides])],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minispiral",
    )
    helper.set_model_props(model, dict(metadata))
    checker.check_model(model, full_check=True)
    return model
