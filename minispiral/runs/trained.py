"""RUN as users give it: a run folder, the file of a checkpoint, or ``pretrained``."""

from pathlib import Path

from minispiral.errors import UserError

PRETRAINED = "pretrained"
PACKAGED = Path(__file__).parents[1] / "pretrained.safetensors"  # the checkpoint of that name


def is_packaged(run: Path | str) -> bool:
    """Whether ``run`` means the weights that come with the package; a file of that name is meant
    before them."""
    return str(run) == PRETRAINED and not Path(run).exists()


def checkpoint_of(run: Path | str, which: str = "best") -> Path:
    """The checkpoint that ``run`` means: a file itself, of a folder the one called ``which``.

    Without a ``best`` (by validation F1) it is the ``last``. Whether the file is there and sound
    shows when it is read. Raises `UserError` for ``pretrained`` where the package has none.
    """
    if is_packaged(run):
        if not PACKAGED.exists():
            raise UserError(
                f"{PRETRAINED} was given, but this version of minispiral comes without trained "
                "weights; give a run folder or a checkpoint"
            )
        return PACKAGED
    run = Path(run)
    if run.is_file() or (run.suffix == ".safetensors" and not run.is_dir()):
        return run
    path = run / f"{which}.safetensors"
    return path if which != "best" or path.exists() else run / "last.safetensors"
