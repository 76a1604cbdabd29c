"""Calls of the functions of `minispiral.kernels` that run CUDA: host arrays in, host arrays out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minispiral.kernels.cuda import launch

from .array import DeviceArray
from .device import CpuDevice


def call(device: launch.Gpu, function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function on copies of the arrays among its arguments."""

    def to_device(argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(map(to_device, argument))
        return device.put(argument) if isinstance(argument, np.ndarray) else argument

    with launch.using(device):
        return _to_host(function(*map(to_device, arguments)))


def in_both_orders(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function; no bit of it may depend on which threads come first."""
    devices = CpuDevice(), CpuDevice(reverse=True)
    forward, reverse = (call(device, function, *arguments) for device in devices)
    for first, second in zip(_tuple(forward), _tuple(reverse), strict=True):
        assert first.tobytes() == second.tobytes(), "the order of threads shows in the result"
    return forward


def assert_same_bits(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """The same arrays under the same names."""
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.tobytes() == b[name].tobytes(), name


def _to_host(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(_to_host, result))
    return result.memory if isinstance(result, DeviceArray) else result


def _tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)
