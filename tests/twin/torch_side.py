"""PyTorch's side of the twin: Spiral-Net, U-Net and Eq. 11 as functions of the weights.

Convolution, batch norm, gradients and Adam are PyTorch's. The weights have the names, shapes and
layout that minispiral gives them, so their gradients come in the same layout.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.twin.task import Step, Task, batch, start

Weights = Mapping[str, Tensor]


def steps(task: Task) -> Iterator[Step]:
    """Train as ``task`` says."""
    torch.set_num_threads(1)  # more gain little here and wait for each other on a busy machine
    w = {name: torch.from_numpy(array) for name, array in start(task).items()}
    parameters = {name: p.requires_grad_() for name, p in w.items() if ".running_" not in name}
    adam = torch.optim.Adam(parameters.values(), lr=task.lr)
    network = {"spiral": spiral_net, "unet": unet}[task.network]
    for k in range(task.steps):
        x, mask = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in batch(k, task.batch, task.side))
        adam.zero_grad()
        loss = backward(network(x, w, task.depths), mask)
        adam.step()
        yield Step(
            loss,
            {name: p.grad.numpy().copy() for name, p in parameters.items()},
            {name: tensor.detach().numpy().copy() for name, tensor in w.items()},
        )


def spiral_net(x: Tensor, w: Weights, depths: tuple[int, ...]) -> Tensor:
    """The first module sees the photograph, each later one the maps of all before it."""
    maps: list[Tensor] = []
    for k, depth in enumerate(depths):
        y = torch.cat(maps, 1) if maps else x
        for i in range(depth):
            y = block(y, w, f"stages.{k}.encoder.{i}", F.conv2d)
        for i in range(depth):
            y = block(y, w, f"stages.{k}.decoder.{i}", F.conv_transpose2d)
        maps.append(y)
    return F.conv2d(torch.cat(maps, 1), kernel(w["mix.w"]), w["mix.b"])


def unet(x: Tensor, w: Weights, depths: tuple[int, ...]) -> Tensor:
    """One encoder-decoder with concatenated skips; the last layer is a plain convolution."""
    (depth,) = depths
    skips = []
    for i in range(depth):
        x = block(x, w, f"encoder.{i}", F.conv2d)
        skips.append(x)
    x = skips.pop()
    for i in range(depth - 1):
        x = torch.cat([block(x, w, f"decoder.{i}", F.conv_transpose2d), skips.pop()], 1)
    last = f"decoder.{depth - 1}"
    return F.conv_transpose2d(x, kernel(w[f"{last}.w"]), w[f"{last}.b"], stride=2)


def block(x: Tensor, w: Weights, name: str, convolve: Callable[..., Tensor]) -> Tensor:
    """Convolution with stride 2, batch norm and ReLU."""
    y = convolve(x, kernel(w[f"{name}.conv.w"]), stride=2)
    mean, var, gamma, beta = (
        w[f"{name}.norm.{vector}"] for vector in ("running_mean", "running_var", "gamma", "beta")
    )
    return F.relu(F.batch_norm(y, mean, var, gamma, beta, training=True))


def kernel(w: Tensor) -> Tensor:
    """``(kh, kw, big, small)`` as PyTorch wants it, for both kinds of convolution."""
    return w.permute(3, 2, 0, 1)


def backward(logits: Tensor, mask: Tensor) -> float:
    """``-log F1`` of Eq. 6; hands Eq. 11 back through the network.

    Eq. 11 is the loss's gradient by ``sigma`` (Eq. 7), found here by autograd, times ``1 - sigma``
    on crack and ``sigma`` elsewhere.
    """
    sigma = torch.sigmoid(logits.detach()).requires_grad_()
    loss = -torch.log(2 * sigma[mask].sum() / (mask.sum() + sigma.sum()))
    (slope,) = torch.autograd.grad(loss, sigma)
    logits.backward(slope * torch.where(mask, torch.sigmoid(-logits.detach()), sigma.detach()))
    return loss.item()
