"""The table of losses in Markdown, made from the one in the library."""

from minispiral.kernels.losses import LOSSES, Loss

MARK = "<!-- the table of losses -->"


def table() -> str:
    """A row for each loss: the name, what it is, the options and the source."""
    rows = ["| `--loss` | is | options | from |", "|---|---|---|---|"]
    for name, loss in LOSSES.items():
        rows.append(f"| `{name}` | {summary(loss)} | {options(name, loss)} | {loss.source} |")
    return "\n".join(rows)


def summary(loss: type[Loss]) -> str:
    """The first paragraph of the docstring."""
    first, _, _ = (loss.__doc__ or "").partition("\n\n")
    return " ".join(first.replace("``", "`").split())


def options(name: str, loss: type[Loss]) -> str:
    """The options of ``minispiral train`` for the parameters, with their defaults."""
    return ", ".join(
        f"`--{name}-{parameter} {values.default:g}`"
        for parameter, values in loss.parameters().items()
    )
