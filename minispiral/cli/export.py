"""``minispiral export``."""

from pathlib import Path

import click

from minispiral.cli.options import PATH, json_option
from minispiral.cli.terminal import print_json, say


@click.command()
@click.argument("run", type=PATH)
@click.argument("model", type=PATH, metavar="MODEL.onnx")
@click.option(
    "--uint8",
    is_flag=True,
    help="Take the pixels of photographs, 0 to 255, and scale them within the model.",
)
@click.option(
    "--licence", metavar="TEXT", help="The licence of the weights, for the model's properties."
)
@json_option
def export(run: Path, model: Path, uint8: bool, licence: str | None, as_json: bool) -> None:
    """Write the network of RUN as ONNX, for other programs.

    RUN is a run folder or the file of a checkpoint. The model takes `photo`, (batch, height, width,
    3), RGB from -1 to 1, and gives `probability`, (batch, height, width); batch, height and width
    are free. Its properties hold tiles, threshold and scaling. Where onnxruntime is installed, the
    model is first compared with the network, and not written if they differ by more than 1e-4.

    \b
    Examples: minispiral export run cracks.onnx
              minispiral export run/last.safetensors cracks.onnx --uint8 --licence CC-BY-4.0 --json
    """
    from minispiral.export.compare import TOLERANCE
    from minispiral.export.export import EXTRA
    from minispiral.export.export import export as job

    done = job(run, model, uint8, licence)
    compared = done.comparison
    if compared is None:
        say(
            "warning: onnxruntime is not installed, so the model was not compared with the "
            f"network; {EXTRA}",
            err=True,
        )
    elif compared.says_little:
        say(
            f"warning: the network gives the probability {compared.highest:.3f} everywhere, so the "
            "comparison shows little; is it trained?",
            err=True,
        )
    elif compared.rounding is not None:
        say(
            f"warning: the difference is above {TOLERANCE:g}, but so is that of float32 from "
            f"float64 in this network: {compared.rounding:.1e}; is it trained?",
            err=True,
        )
    if as_json:
        print_json(done.as_dict())
        return
    p = done.properties
    sides = f"{p['unit']} k - 1, k >= 2"
    say(f"model: {done.path} ({done.size / 1e6:.3g} MB)")
    say(f"input: {p['input']} ({p['input_layout']}) {p['input_type']}, sides {sides}")
    say(f"output: {p['output']} ({p['output_layout']}) float32")
    say(f"threshold: {p['threshold']:g} ({p['threshold_found_by']})")
    say(
        f"parameters: {p['graph_parameters']:,}, and {p['folded_parameters']:,} of batch norm "
        "folded into them"
    )
    if compared is not None:
        say(
            f"largest difference from the network: {compared.difference:.1e} of probability "
            f"({compared.runtime})"
        )
