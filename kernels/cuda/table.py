"""The table of kernels; each is declared in the module that launches it."""

from typing import NamedTuple


class Kernel(NamedTuple):
    """A kernel as it is compiled and launched."""

    file: str  # its source
    expression: str  # its name in C++, template arguments included
    threads: int  # of a block
    shared: int  # bytes of dynamic shared memory of a block
    registers: int  # that a thread may use; the tests hold the compiler to it


KERNELS: dict[str, Kernel] = {}  # by expression


def declare(
    file: str, expression: str, *, threads: int = 256, shared: int = 0, registers: int = 40
) -> None:
    """Add a kernel to the table."""
    KERNELS[expression] = Kernel(file, expression, threads, shared, registers)


def expressions(file: str) -> list[str]:
    """The kernels of one file, which are compiled together."""
    return [kernel.expression for kernel in KERNELS.values() if kernel.file == file]
