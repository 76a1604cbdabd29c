"""Layers: modules that own parameters, and how parameters start."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minispiral import fused, ops
from minispiral.device import Device
from minispiral.errors import UserError
from minispiral.kernels import arithmetic, batchnorm
from minispiral.kernels.arrays import like
from minispiral.tensor import Tensor, around

Array = NDArray[Any]
T = TypeVar("T")


class Parameter(Tensor):
    """A tensor that training changes; ``name`` is the one by which its module listed it last."""

    name = ""

    def __init__(self, data: Array) -> None:
        super().__init__(data, requires_grad=True)


class Module:
    """A piece of a network: attributes that are parameters or modules, or hold some.

    Lists, tuples and dictionaries of them count, one in the other too. What stands in several
    places is shared: it is listed, trained and saved once.

    Arrays named in ``buffers`` (the running statistics of batch norm) belong to the state but
    are not trained.
    """

    buffers: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.training = True

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, x: Tensor) -> Tensor:
        with around(self, "call"):
            return self.forward(x)

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules directly inside this one, with their attribute names."""
        for name, value in _entries(vars(self)):
            if isinstance(value, Module):
                yield name, value

    def modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all inside it, each once, under the first of its dotted names."""
        yield from once(self._paths(prefix))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once, under the first of its dotted names, in that order."""
        for name, p in once(self._parameter_paths()):
            p.name = name
            yield name, p

    def _paths(
        self, prefix: str = "", above: tuple["Module", ...] = ()
    ) -> Iterator[tuple[str, "Module"]]:
        """All dotted names of this module and those inside it, except through itself."""
        yield prefix, self
        for name, child in self.children():
            if child not in (self, *above):
                yield from child._paths(f"{prefix}{name}.", (self, *above))

    def _parameter_paths(self) -> Iterator[tuple[str, Parameter]]:
        for prefix, module in self._paths():
            for name, value in _entries(vars(module)):
                if isinstance(value, Parameter):
                    yield prefix + name, value

    def parameters(self) -> list[Parameter]:
        """All parameters, in order of definition."""
        return [p for _, p in self.named_parameters()]

    def train(self) -> Self:
        """Normalise by the batch's moments and update the running ones."""
        return self._set_training(True)

    def eval(self) -> Self:
        """Normalise by the running statistics."""
        return self._set_training(False)

    def _set_training(self, training: bool) -> Self:
        for _, module in self.modules():
            module.training = training
        return self

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert parameters and buffers, e.g. to float64 for gradient checks. In place."""
        return self._replace(lambda array: arithmetic.astype(array, dtype))

    def to(self, device: Device) -> Self:
        """Move parameters and buffers to a device. In place."""
        return self._replace(lambda array: device.put(device.get(array)))

    def _replace(self, new: Callable[[Array], Array]) -> Self:
        for _, p in self.named_parameters():
            p.data = new(p.data)
        for _, module in self.modules():
            for name in module.buffers:
                setattr(module, name, new(getattr(module, name)))
        return self

    def state(self) -> dict[str, Array]:
        """Parameters and buffers by dotted name: the arrays themselves, not copies."""
        arrays = {name: p.data for name, p in self.named_parameters()}
        for prefix, module in self.modules():
            arrays |= {prefix + name: getattr(module, name) for name in module.buffers}
        return arrays

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Copy in what `state` gave.

        A shared parameter may be given under any of its names. Raises `UserError`, with nothing
        changed, where a tensor is missing, unexpected or of another shape.
        """
        own = self.state()
        state = self._without_aliases(state)
        for name, array in own.items():
            if name not in state:
                raise UserError(f"the weights lack {name}: they belong to another architecture")
            if state[name].shape != array.shape:
                raise UserError(
                    f"the weights give {name} the shape {state[name].shape}, this network has "
                    f"{array.shape}: they belong to another architecture"
                )
        if surplus := sorted(set(state) - set(own)):
            raise UserError(
                f"the weights hold {surplus[0]}, which this network does not have: "
                f"they belong to another architecture"
            )
        for name, array in own.items():
            array[...] = like(state[name], array)
        for p in self.parameters():
            p.changed()

    def _without_aliases(self, state: Mapping[str, Array]) -> dict[str, Array]:
        """The state with everything that is shared under its first name alone."""
        result, first = dict(state), dict[Any, str]()
        named: list[tuple[str, Any]] = [(name, id(p)) for name, p in self._parameter_paths()]
        named += [
            (path + name, (id(module), name))
            for path, module in self._paths()
            for name in module.buffers
        ]
        for alias, identity in named:
            name = first.setdefault(identity, alias)
            if alias == name or alias not in result:
                continue
            value = result.pop(alias)
            if not np.array_equal(result.setdefault(name, value), value):
                raise UserError(
                    f"the weights give {name} and {alias} different values, which this network "
                    "shares: they belong to another architecture"
                )
        return result


def _entries(values: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values, also of what lists, tuples and dictionaries hold: ``name.0``."""
    for name, value in values.items():
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", item) for inner, item in _entries(value))
        else:
            yield str(name), value


def once(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Each object once, under its first name."""
    seen = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def he_normal(
    shape: tuple[int, ...], fan_in: float, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> Array:
    """Normal numbers of variance ``2 / fan_in``, which a ReLU halves again (He et al. 2015)."""
    return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(dtype)


class Conv2d(Module):
    """Convolution ``(n, h, w, ci)`` to ``(n, oh, ow, co)``, with or without a bias per channel.

    With ``transpose`` it is the transposed convolution, which enlarges instead:
    ``n -> stride * (n - 1) + size - 2 * pad``. Its weights are ``(size, size, co, ci)`` then, for
    the larger image's channels always come first.
    """

    def __init__(
        self,
        ci: int,
        co: int,
        size: int,
        rng: np.random.Generator,
        stride: int = 1,
        pad: int = 0,
        transpose: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.pad, self.transpose = stride, pad, transpose
        # A transposed convolution's output takes in one tap in stride**2, on average.
        fan_in = ci * size * size / (stride * stride if transpose else 1)
        shape = (size, size, *((co, ci) if transpose else (ci, co)))
        self.w = Parameter(he_normal(shape, fan_in, rng))
        self.b = Parameter(np.zeros(co, np.float32)) if bias else None

    def __str__(self) -> str:
        size = self.w.shape[0]
        return f"{'transposed conv' if self.transpose else 'conv'} {size}x{size}"

    def forward(self, x: Tensor) -> Tensor:
        conv = ops.conv_transpose2d if self.transpose else ops.conv2d
        y = conv(x, self.w, self.stride, self.pad)
        return y if self.b is None else y + self.b


class ConvReLU(Module):
    """Convolution with a bias and ReLU, ``(n, h, w, ci)`` to ``(n, oh, ow, co)``."""

    def __init__(
        self, ci: int, co: int, rng: np.random.Generator, size: int, stride: int = 1, pad: int = 0
    ) -> None:
        super().__init__()
        self.conv = Conv2d(ci, co, size, rng, stride, pad)

    def __str__(self) -> str:
        return f"{self.conv}, ReLU"

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        assert conv.b is not None
        return fused.conv_relu(x, conv.w, conv.b, conv.stride, conv.pad)


class BatchNorm(Module):
    """Batch norm over all axes but the last, of ``c`` channels (Ioffe and Szegedy 2015).

    In training it normalises by the batch's mean and biased variance and keeps running ones::

        running = (1 - momentum) * running + momentum * batch

    with the unbiased variance. In evaluation it normalises by the running ones. Raises
    `UserError` where a channel has a single value to train on.
    """

    buffers = ("running_mean", "running_var")
    momentum = 0.1
    eps = 1e-5

    def __init__(self, c: int) -> None:
        super().__init__()
        self.gamma = Parameter(np.ones(c, np.float32))
        self.beta = Parameter(np.zeros(c, np.float32))
        self.running_mean: Array = np.zeros(c, np.float32)
        self.running_var: Array = np.ones(c, np.float32)

    def forward(self, x: Tensor) -> Tensor:
        function = ops.BatchNorm(self.eps, self.constant_moments())
        y = function(x, self.gamma, self.beta)
        values = batchnorm.values_per_channel(x)
        self.check(values)
        if self.training:
            keep, take = 1 - self.momentum, self.momentum
            arithmetic.blend(self.running_mean, function.mean, keep, take)
            arithmetic.blend(self.running_var, function.var, keep, take * values / (values - 1))
        return y

    def constant_moments(self) -> tuple[Array, Array] | None:
        """The running moments in evaluation; None in training, where the batch's own are used."""
        return None if self.training else (self.running_mean, self.running_var)

    def check(self, values: int) -> None:
        """`UserError` where training has a single value per channel."""
        if self.training and values == 1:
            raise UserError(
                "batch norm cannot train on a single value per channel: "
                "use a larger batch, larger patches or a shallower network"
            )


class ConvNormReLU(Module):
    """Convolution without a bias, batch norm and ReLU.

    The paper's building block is 3 x 3 at stride 2 without padding (Table 1); ``transpose`` makes
    it a decoder's block, which doubles the image. It runs as one fused operation;
    ``fused = False`` runs the three plain ones instead, with the same result.
    """

    fused = True

    def __init__(
        self,
        ci: int,
        co: int,
        rng: np.random.Generator,
        transpose: bool = False,
        size: int = 3,
        stride: int = 2,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(ci, co, size, rng, stride, pad, transpose, bias=False)
        self.norm = BatchNorm(co)

    def __str__(self) -> str:
        return f"{self.conv}, batch norm, ReLU"

    def forward(self, x: Tensor) -> Tensor:
        if not self.fused:
            return ops.relu(self.norm(self.conv(x)))
        conv, norm = self.conv, self.norm
        running = fused.Running(norm.running_mean, norm.running_var, norm.momentum)
        geometry = conv.stride, conv.pad, conv.transpose
        function = fused.ConvNormReLU(norm.eps, *geometry, norm.constant_moments(), running)
        y = function(x, conv.w, norm.gamma, norm.beta)
        norm.check(batchnorm.values_per_channel(y))
        return y
