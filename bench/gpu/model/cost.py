"""What instructions cost: issue slots, clocks of pipes, and the time of a warp alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bench.gpu.model.assumptions import Assumptions
from bench.gpu.model.sass import Instruction

FP32 = {"FFMA", "FADD", "FMUL", "HFMA2"}
FP64 = {"DADD", "DMUL", "DFMA", "DSETP"}
SPECIAL = {"MUFU", "I2F", "F2I", "F2F", "FRND", "POPC", "FLO"}
SHARED = {"LDS", "STS", "LDSM", "SHFL"}
GLOBAL = {"LDG", "STG", "LDGSTS", "ATOMG", "RED"}
# None of these occupies a pipe that is modelled; what is left is integers and logic.
CONTROL = {"BRA", "EXIT", "BSSY", "BSYNC", "BREAK", "CALL", "RET", "WARPSYNC", "BAR", "DEPBAR"}
CONTROL |= {"LDGDEPBAR", "NOP", "LDC", "S2R", "S2UR", "CS2R", "R2UR", "YIELD", "ERRBAR", "MEMBAR"}
WITHOUT_RESULT = {"STG", "STS", "LDGSTS", "RED"} | CONTROL - {"LDC", "S2R", "S2UR", "CS2R", "R2UR"}

TERMS = {"1688": 2 * 16 * 8 * 8, "1684": 2 * 16 * 8 * 4}  # FLOP of HMMA of these sizes
COUNTED = {"HMMA", "FFMA", "MUFU", "BAR", "SHFL"} | FP64

TENSOR = "tensor cores"


def width(instruction: Instruction) -> int:
    """Bits that each lane reads or writes; LDSM reads one or more matrices of 128 bytes."""
    if instruction.name == "LDSM":
        return 32 * int(instruction.opcode[-1]) if instruction.opcode[-1].isdigit() else 32
    found = re.search(r"\.(U8|S8|U16|S16|64|128)\b", instruction.opcode)
    return int(found[1].lstrip("US")) if found else 32


def kind(instruction: Instruction) -> str:
    """The name of a memory instruction with its width, as in ``LDG.128``; else its name."""
    if instruction.name in (SHARED | GLOBAL) - {"SHFL"}:
        return f"{instruction.name}.{width(instruction)}"
    return instruction.name


def counts(code: Sequence[Instruction]) -> dict[str, int]:
    """Issue slots, and how many instructions there are of each kind that matters."""
    kinds = Counter(kind(instruction) for instruction in code)
    shown = {name: n for name, n in sorted(kinds.items()) if "." in name or name in COUNTED}
    return {"slots": len(code), **shown}


def tensor_flop(instruction: Instruction) -> int:
    """Operations of a warp's product of matrices; 0 for other instructions."""
    if instruction.name != "HMMA":
        return 0
    size = instruction.opcode.split(".")[1]
    if size not in TERMS:
        raise ValueError(f"{instruction.opcode} multiplies matrices of a size that is not known")
    return TERMS[size]


@dataclass
class Work:
    """What some instructions take, of one warp or summed over many."""

    slots: float = 0
    pipes: defaultdict[str, float] = field(  # clocks of a quarter of an SM
        default_factory=lambda: defaultdict(float)
    )
    l2_bytes: float = 0  # that asynchronous copies read
    clocks: float = 0  # of a warp alone

    def add(self, other: "Work", times: float) -> None:
        self.slots += times * other.slots
        for pipe, clocks in other.pipes.items():
            self.pipes[pipe] += times * clocks
        self.l2_bytes += times * other.l2_bytes
        self.clocks += times * other.clocks


def work(code: Sequence[Instruction], assumed: Assumptions, latency: float, loop: bool) -> Work:
    """Of one warp, once through; ``latency`` is that of its loads from memory."""
    found = Work(slots=len(code))
    for instruction in code:
        name = instruction.name
        if name == "HMMA":
            per_sm = assumed.tensor * 1e12 / assumed.sms / (assumed.clock * 1e9)
            found.pipes[TENSOR] += 4 * tensor_flop(instruction) / per_sm
        elif name in FP32:
            found.pipes["fp32"] += assumed.pipe_fp32
        elif name == "IMAD":
            found.pipes["fp32"] += assumed.pipe_fp32
            found.pipes["imad"] += assumed.pipe_imad
        elif name in FP64:
            found.pipes["fp64"] += assumed.pipe_fp64
        elif name in SPECIAL:
            found.pipes["special"] += assumed.pipe_special
        elif name in SHARED | GLOBAL:
            lanes = 32 * width(instruction) / 8 / 128
            found.pipes["shared memory"] += 4 * assumed.pipe_shared * max(1.0, lanes)
            if name == "LDGSTS":
                found.l2_bytes += 32 * width(instruction) / 8
        elif name not in CONTROL and not name.startswith("U"):
            found.pipes["integers and logic"] += assumed.pipe_alu
    found.clocks = clocks_alone(code, assumed, latency, loop)
    return found


def clocks_alone(
    code: Sequence[Instruction], assumed: Assumptions, latency: float, loop: bool
) -> float:
    """The time of one warp that has the SM to itself, and issues in order.

    An instruction waits for the registers that it reads, and for those that it writes. Of a loop
    the fourth iteration is timed, which waits for the earlier ones as all later ones do.
    """
    now, ready = 0.0, dict[str, float]()
    copies, groups = 0.0, list[float]()  # when asynchronous copies, and closed groups, are there
    ends = []
    for _ in range(4 if loop else 1):
        for instruction in code:
            results, operands = registers(instruction)
            now = max([now, *(ready.get(register, 0.0) for register in operands + results)])
            if instruction.name == "LDGSTS":
                copies = now + latency
            elif instruction.name == "LDGDEPBAR":
                groups.append(max(copies, now))
            elif instruction.name == "DEPBAR" and groups:
                pending = re.search(r"0x([0-9a-f]+)", instruction.operands)
                arrived = groups[: len(groups) - int(pending[1], 16)] if pending else groups
                now = max([now, *arrived])
            elif instruction.name == "BAR":
                now += assumed.latency_barrier
            done = now + _latency(instruction, assumed, latency)
            ready.update(dict.fromkeys(results, done))
            now += 1
        ends.append(now)
    return ends[-1] - ends[-2] if loop else ends[-1]


def _latency(instruction: Instruction, assumed: Assumptions, latency: float) -> float:
    name = instruction.name
    if name == "LDG":
        return latency
    if name in ("LDS", "LDSM"):
        return assumed.latency_shared
    if name == "SHFL":
        return assumed.latency_shuffle
    if name == "LDC":
        return assumed.latency_constant
    if name == "HMMA":
        return assumed.latency_tensor
    if name in FP64:
        return assumed.latency_fp64
    if name in SPECIAL | {"S2R", "S2UR"}:
        return assumed.latency_special
    return assumed.latency_other


_REGISTER = re.compile(r"\b(UR|R|UP|P)(\d+)(\.64)?")


@lru_cache(maxsize=1 << 17)
def registers(instruction: Instruction) -> tuple[list[str], list[str]]:
    """Those that it writes, and those that it reads; a number of 64 bits is in two."""
    tokens = [token.strip() for token in instruction.operands.split(",")]
    results: list[str] = []
    if instruction.name not in WITHOUT_RESULT:
        leading = 1
        while leading < len(tokens) and re.fullmatch(r"U?P(\d|T)", tokens[leading]):
            leading += 1  # carries, and the second result of comparisons
        if instruction.name in ("LOP3", "SHFL", "ULOP3") and re.fullmatch(r"U?P(\d|T)", tokens[0]):
            leading += 1
        for token in tokens[:leading]:
            results += _spread(token, _result_size(instruction))
        tokens = tokens[leading:]
    operands = _spread(instruction.predicate, 1)
    for place, token in enumerate(tokens):
        operands += _spread(token, _operand_size(instruction, place, token))
    return results, operands


def _spread(token: str, size: int) -> list[str]:
    found = []
    for file, number, pair in _REGISTER.findall(token):
        count = 1 if "P" in file else max(size, 2 if pair else 1)
        found += [f"{file}{int(number) + i}" for i in range(count)]
    return found


def _result_size(instruction: Instruction) -> int:
    """Registers of the result."""
    name, suffixes = instruction.name, instruction.opcode.split(".")[1:]
    if name == "LDSM":
        return width(instruction) // 32
    if name == "HMMA" or "128" in suffixes:
        return 4
    wide = name in FP64 or (name == "CS2R" and "32" not in suffixes) or "64" in suffixes
    wide = wide or (name in ("IMAD", "UIMAD") and "WIDE" in suffixes)
    return 2 if wide or suffixes[:1] == ["F64"] else 1  # F2F.F64.F32


def _operand_size(instruction: Instruction, place: int, token: str) -> int:
    """Registers of the operand at a place behind the results."""
    name, suffixes = instruction.name, instruction.opcode.split(".")[1:]
    if name == "HMMA":
        return (4, 2, 4)[min(place, 2)]
    if name in ("STG", "STS") and "[" not in token:
        return max(1, width(instruction) // 32)
    wide = name in FP64 or (name == "F2F" and suffixes[1:2] == ["F64"])
    wide = wide or (name == "IMAD" and "WIDE" in suffixes and place == 2)
    return 2 if wide else 1
