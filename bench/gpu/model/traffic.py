"""What a launch has to do whatever its instructions: bytes to move, products to take."""

from math import prod

import numpy as np

from bench.gpu.model.recording import Launch

TENSOR_CORES = "conv2d_mma", "conv2d_input_grad_mma", "conv2d_weight_grad_mma"

# Kernels whose arrays are listed in a table: how many are read, how many written.
LISTED = {"adam": (4, 3), "square_sums": (1, 0), "scaled": (1, 1)}


def name_of(launch: Launch) -> str:
    """The kernel's name without template arguments."""
    return launch.kernel.expression.partition("<")[0]


def bytes_moved(launch: Launch) -> tuple[float, float]:
    """Bytes read and written if each array crosses once."""
    itemsize = 8 if "double" in launch.kernel.expression else 4
    if name_of(launch) in LISTED:
        elements = launch["owner"][0] * launch["share"]
        read, written = LISTED[name_of(launch)]
        return read * itemsize * elements, written * itemsize * elements
    arrays = [argument for argument in launch.arguments.values() if argument.is_array]
    read = sum(array.nbytes for array in arrays if not array.written)
    written = sum(array.nbytes for array in arrays if array.written)
    return read, written


def tensor_flop(launch: Launch) -> float:
    """Operations for the tensor cores; without TF32 three times as many as the products."""
    if name_of(launch) not in TENSOR_CORES:
        return 0.0
    conv = launch["conv"]
    macs: int = prod(conv[name] for name in ("n", "oh", "ow", "kh", "kw", "big", "small"))
    return 2.0 * macs * (3 if "Precise" in launch.kernel.expression else 1)


def flags(launch: Launch, first: int) -> dict[int, bool]:
    """The parameters of type bool, by their place; parameters begin at ``first``."""
    found, place = {}, first
    for argument in launch.arguments.values():
        size = align = 8  # of an address
        if not argument.is_array:
            dtype = np.asarray(argument.value).dtype
            size, align = dtype.itemsize, dtype.itemsize
            if dtype.names is not None:
                align = max(dtype[i].itemsize for i in range(len(dtype.names)))
        place = -(-place // align) * align
        if isinstance(argument.value, np.bool_):
            found[place] = bool(argument.value)
        place += size
    return found
