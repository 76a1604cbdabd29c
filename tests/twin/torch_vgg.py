"""VGG-16 in PyTorch; ``python -m tests.twin.torch_vgg`` keeps what it makes of a picture.

minispiral is tested against these numbers where PyTorch is not installed.
"""

from typing import Any

import torch
from torch import nn

from tests.twin import golden_files, vgg
from tests.twin.task import Array

NUMBERS = (
    "Of each stage of VGG-16 the largest of its last features and some others "
    "(tests.twin.vgg.samples), in float64, from float32 weights and picture (tests.twin.vgg)."
)


def network(name: str) -> nn.Module:
    """torchvision's ``vgg16`` or ``vgg16_bn`` without its classifier, with given weights."""
    layers: list[nn.Module] = []
    ci = 3
    for i, co in enumerate(vgg.CHANNELS, 1):
        layers.append(nn.Conv2d(ci, co, 3, padding=1))
        if name == "vgg16_bn":
            layers.append(nn.BatchNorm2d(co))
        layers.append(nn.ReLU())
        if i in vgg.STAGES:
            layers.append(nn.MaxPool2d(2))
        ci = co
    built = nn.ModuleDict({"features": nn.Sequential(*layers)})
    built.load_state_dict({k: torch.from_numpy(v) for k, v in vgg.weights(name).items()})
    return built.double().eval()


def features(name: str) -> list[Array]:
    """The last features of each stage, ``(1, h, w, c)``."""
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)
    x = ((torch.from_numpy(vgg.picture()).double() + 1) / 2 - mean) / std
    x = x.permute(0, 3, 1, 2)
    found = []
    with torch.no_grad():
        for layer in network(name)["features"]:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x.permute(0, 2, 3, 1).contiguous().numpy())
            x = layer(x)
    return found


def main() -> None:
    facts: dict[str, Any] = {
        "command": "python -m tests.twin.torch_vgg",
        "torch": torch.__version__,
        "numbers": NUMBERS,
    }
    facts |= {name: vgg.samples(features(name)) for name in vgg.PLACES}
    golden_files.write(golden_files.VGG, facts)


if __name__ == "__main__":
    main()
