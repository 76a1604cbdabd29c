"""The machine code of the library's kernels, and what fits on a GPU of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from typing import Any

from bench.gpu.model import compiler, cost, sass
from minispiral.kernels.cuda import sources, table
from minispiral.kernels.cuda.table import Kernel

# Where parameters begin in the bank of constants, and KB of shared memory of an SM.
FIRST_PARAMETER = {"sm_80": 0x160, "sm_90": 0x210}
SHARED_OF_SM = {"sm_80": 164, "sm_90": 228}
ARCHITECTURES = tuple(FIRST_PARAMETER)

# Of both: an SM's registers, warps and blocks; registers are given to a warp by 256, and each block
# takes 1 KB of shared memory for itself.
_REGISTERS, _WARPS, _BLOCKS = 65536, 64, 32
_UNIT, _RESERVED = 256, 1024


@dataclass(frozen=True)
class Code:
    """A kernel's machine code for one architecture."""

    kernel: Kernel
    arch: str
    binary: compiler.Binary
    _given: dict[tuple[tuple[int, bool], ...], sass.Function] = field(default_factory=dict)

    @property
    def function(self) -> sass.Function:
        return _functions(self.binary.text)[self.binary.symbol]

    def given(self, flags: Mapping[int, bool]) -> sass.Function:
        """The code that runs where the parameters of type bool have these values."""
        key = tuple(sorted(flags.items()))
        if key not in self._given:
            self._given[key] = self.function.given(flags)
        return self._given[key]

    @property
    def warps(self) -> int:
        """Of a block."""
        return ceil(self.kernel.threads / 32)

    @property
    def resident_blocks(self) -> int:
        """Blocks that fit on an SM together."""
        registers = -(-32 * self.binary.registers // _UNIT) * _UNIT  # of a warp
        shared = self.binary.static_shared + self.kernel.shared + _RESERVED
        by_registers = _REGISTERS // 4 // registers * 4 // self.warps  # an SM has four parts
        by_shared = SHARED_OF_SM[self.arch] * 1024 // shared
        return min(_BLOCKS, _WARPS // self.warps, by_registers, by_shared)

    def counts(self, loops: bool = True) -> dict[str, Any]:
        """What a thread and a block take and, on request, what the code of each loop has."""
        binary = self.binary
        found: dict[str, Any] = {
            "registers": binary.registers,
            "spilled_bytes": binary.spills,
            "stack_bytes": binary.stack,
            "shared_bytes": {"static": binary.static_shared, "dynamic": self.kernel.shared},
            "resident_warps": self.resident_blocks * self.warps,
        }
        if loops:
            function = self.function
            found["outside_loops"] = cost.counts(function.own_code(None))
            found["loops"] = []
            for loop in function.loops:
                around = function.parent(loop)
                inside = None if around is None else function.loops.index(around)
                found["loops"].append({"inside": inside, **cost.counts(function.own_code(loop))})
        return found


@lru_cache(maxsize=64)
def _functions(text: str) -> dict[str, sass.Function]:
    return sass.functions(text)


def codes(arch: str, expressions: Collection[str] = table.KERNELS) -> dict[str, Code]:
    """The machine code of these kernels of the table, by expression."""
    wanted = {expression: table.KERNELS[expression] for expression in expressions}
    found = {}
    for file in sorted({kernel.file for kernel in wanted.values()}):
        binaries = compiler.compiled(arch, sources.expand(file), table.expressions(file))
        for expression, kernel in wanted.items():
            if kernel.file == file:
                found[expression] = Code(kernel, arch, binaries[expression])
    return found
