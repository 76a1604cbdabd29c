"""The ``minispiral`` command. Each of its subcommands is a module of this package."""

import warnings

import click

from minispiral import __version__
from minispiral.cli.group import Commands

EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused or failed, or some photographs did; standard error says why
  2    the command line was not understood
  130  stopped by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP"""


@click.group(
    cls=Commands,
    epilog=EXIT_CODES,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(__version__, prog_name="minispiral")
def main() -> None:
    """Find hairline cracks in photographs of concrete: Spiral-Net, trained for F1.

    \b
    To see it work:       minispiral demo
    With photographs:     minispiral labels FILE... --out DATA/masks
                          minispiral check DATA
                          minispiral train DATA --out RUN
                          minispiral evaluate RUN DATA
                          minispiral detect RUN PHOTO... --out DIR

    DATA is a folder with photographs in images/ and masks of the same names in masks/. What
    is not black in a mask is crack.
    """
    # Pillow warns about damaged files; those that matter are reported as errors anyway.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
