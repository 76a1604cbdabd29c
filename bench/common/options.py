"""The options that the measurements of a CPU and of a GPU share."""

import click

width = click.option("--width", default=1.0, show_default=True, help="Scales the 64..512 channels.")
photo = click.option(
    "--photo",
    type=(click.IntRange(1), click.IntRange(1)),
    default=(5472, 3678),
    show_default=True,
    metavar="WIDTH HEIGHT",
    help="Pixels of the photograph that is searched for cracks.",
)
torch = click.option(
    "--torch/--no-torch", default=True, help="Time PyTorch too where it is installed."
)
compiled = click.option(
    "--compile/--no-compile", "compiled", default=True, help="Time torch.compile too."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
