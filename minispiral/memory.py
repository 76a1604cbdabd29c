"""Memory that runs out: what the user is told."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minispiral.errors import UserError

# Of exceptions that have no class or number of their own: a decoder, a thread, a shared library.
_TEXTS = (
    "out of memory",
    "can't start new thread",
    "annot allocate memory",
    "failed to map segment",
)


def is_memory_error(error: BaseException) -> bool:
    """Whether ``error``, in whichever guise it comes, says that there is no memory left."""
    if isinstance(error, MemoryError):  # those of NumPy and CuPy are
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    return any(text in str(error) for text in _TEXTS)


class NotEnoughMemory(UserError):
    """There is not enough memory for a photograph."""


@contextmanager
def memory_for(photo: Path) -> Iterator[None]:
    """Do the work on a photograph; raises `NotEnoughMemory` when memory runs out."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        if not is_memory_error(error):
            raise
        raise NotEnoughMemory(
            f"The memory is not enough for {photo}; cut it into smaller pictures, close other "
            "programs or use a machine with more memory"
        ) from error
