"""Machine code as nvdisasm prints it: instructions, basic blocks, and loops."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

_INSTRUCTION = re.compile(r"\s+/\*([0-9a-f]+)\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"(\S+):$")
_TARGET = re.compile(r"`\((\S+)\)")
_FLAG = re.compile(r"(U?R\d+), c\[0x0\]\[0x([0-9a-f]+)\]")
_NOT_ZERO = re.compile(r"(P\d), PT, (?:RZ, (U?R\d+)|(U?R\d+), U?RZ), PT")


class Instruction(NamedTuple):
    """One instruction, which takes one issue slot of a warp."""

    predicate: str  # that it runs under, such as ``!P0``; empty for always
    opcode: str  # with its suffixes, such as ``LDG.E.128``
    operands: str

    @property
    def name(self) -> str:
        return self.opcode.partition(".")[0]

    @property
    def target(self) -> str | None:
        """The label that it jumps to."""
        found = _TARGET.search(self.operands)
        return found[1] if found and self.name == "BRA" else None

    @property
    def goes_on(self) -> bool:
        """Whether the next instruction may run after it."""
        if self.predicate:
            return True
        return self.name not in ("BRA", "EXIT", "RET") or "," in self.operands  # BRA P1, (label)


@dataclass(frozen=True)
class Loop:
    """A natural loop: the blocks from which its head is reached again without passing it."""

    head: int  # the number of a block
    blocks: frozenset[int]  # those of loops inside it too


class Function:
    """The code of one kernel, from its first instruction to the first subroutine."""

    def __init__(self, blocks: list[list[Instruction]], successors: list[list[int]]) -> None:
        self.blocks, self.successors = blocks, successors

    @cached_property
    def predecessors(self) -> dict[int, list[int]]:
        """Of each block that is reached from the start, so the keys are just these."""
        found: dict[int, list[int]] = {0: []}
        waiting = [0]
        while waiting:
            block = waiting.pop()
            for other in self.successors[block]:
                if other not in found:
                    waiting.append(other)
                found.setdefault(other, []).append(block)
        return found

    @cached_property
    def dominators(self) -> dict[int, set[int]]:
        """For each block those that every path to it passes, itself among them."""
        everything = set(self.predecessors)
        found = {block: everything for block in everything}
        found[0] = {0}
        changed = True
        while changed:
            changed = False
            for block in sorted(everything - {0}):
                before = [found[other] for other in self.predecessors[block]]
                now = {block}.union(set.intersection(*before))
                if now != found[block]:
                    found[block], changed = now, True
        return found

    @cached_property
    def loops(self) -> list[Loop]:
        """In the order of their heads."""
        bodies: dict[int, set[int]] = {}
        for block, dominators in self.dominators.items():
            for head in self.successors[block]:
                if head in dominators:  # a back edge
                    body = bodies.setdefault(head, {head})
                    waiting = [block]
                    while waiting:
                        inside = waiting.pop()
                        if inside not in body:
                            body.add(inside)
                            waiting += self.predecessors[inside]
        return [Loop(head, frozenset(bodies[head])) for head in sorted(bodies)]

    def given(self, flags: Mapping[int, bool]) -> "Function":
        """The same for known flags: without what they skip.

        ``flags`` are parameters of type bool, by their place in the bank of constants.
        """
        heads = {loop.head for loop in self.loops}
        known: dict[str, bool] = {}  # registers that hold a flag, and predicates made of it
        blocks: list[list[Instruction]] = []
        successors: list[list[int]] = []
        for number, block in enumerate(self.blocks):
            if number in heads:
                known.clear()  # the end of the loop may have changed it
            kept: list[Instruction] = []
            following = self.successors[number]
            for instruction in block:
                runs = known.get(instruction.predicate.lstrip("!"))
                if runs is not None:
                    runs = runs != instruction.predicate.startswith("!")
                _learn(instruction, flags, known)
                if runs is None or instruction.name not in ("BRA", "EXIT"):
                    kept.append(instruction if runs is not False else _skipped(instruction))
                    continue
                kept.append(instruction._replace(predicate=""))
                jumps = runs and (instruction.target is None or "," not in instruction.operands)
                if jumps:
                    following = [] if instruction.target is None else self._jump(number)
                    break
                if not runs and instruction.target is not None:
                    following = [number + 1]
            blocks.append(kept)
            successors.append(following)
        return Function(blocks, successors)

    def _jump(self, number: int) -> list[int]:
        """Where the jump at the end of a block leads."""
        return [other for other in self.successors[number] if other != number + 1]

    def own_blocks(self, loop: Loop | None) -> list[int]:
        """The blocks of a loop that lie in no loop inside it; of none, those outside all loops."""
        within = set(self.predecessors) if loop is None else set(loop.blocks)
        for other in self.loops:
            if loop is None or (other is not loop and other.head in loop.blocks):
                within -= other.blocks
        return sorted(within)

    def own_code(self, loop: Loop | None) -> list[Instruction]:
        """What runs once in each iteration; detours to slow subroutines are left out.

        Divisions and square roots call one for numbers near the ends of their range.
        """
        return [
            instruction
            for block in self.own_blocks(loop)
            if not self._is_detour(block)
            for instruction in self.blocks[block]
            if instruction.opcode != "NOP"
        ]

    def parent(self, loop: Loop) -> Loop | None:
        """The smallest loop around it."""
        around = [other for other in self.loops if loop.head in other.blocks and other is not loop]
        return min(around, key=lambda other: len(other.blocks), default=None)

    def _is_detour(self, block: int) -> bool:
        calls = any(instruction.name == "CALL" for instruction in self.blocks[block])
        after = self.successors[block]
        return calls and all(block not in self.dominators[other] for other in after)


def _learn(instruction: Instruction, flags: Mapping[int, bool], known: dict[str, bool]) -> None:
    """What is known of registers and predicates after an instruction."""
    words = instruction.operands.split(", ")
    value = None
    if instruction.opcode in ("LDC.U8", "ULDC.U8"):
        found = _FLAG.match(instruction.operands)
        value = flags.get(int(found[2], 16)) if found else None
    elif instruction.opcode in ("PRMT", "UPRMT") and words[2:3] == ["0x8880"]:
        value = known.get(words[1])  # extends the sign
    elif instruction.opcode == "ISETP.NE.AND":
        compared = _NOT_ZERO.fullmatch(instruction.operands)
        value = known.get(compared[2] or compared[3]) if compared else None
    for word in words[:3]:
        known.pop(word, None)  # written, perhaps
    if value is not None:
        known[words[0]] = value


def _skipped(instruction: Instruction) -> Instruction:
    """Takes its slot and does nothing."""
    return Instruction("", "NOP.SKIPPED", "")


def functions(text: str) -> dict[str, Function]:
    """The kernels in what nvdisasm printed, by their names in the machine code."""
    found = {}
    for section in re.split(r"^//-+ \.text\.", text, flags=re.MULTILINE)[1:]:
        name = section.split(None, 1)[0]
        found[name] = _function(section.splitlines())
    return found


def _function(lines: Iterable[str]) -> Function:
    blocks: list[list[Instruction]] = [[]]
    starts: dict[str, int] = {}  # the block at each label
    for line in lines:
        label, parsed = _LABEL.match(line), _INSTRUCTION.match(line)
        if label is not None:
            if label[1].startswith("$"):  # a subroutine
                break
            if blocks[-1]:
                blocks.append([])
            starts[label[1]] = len(blocks) - 1
        elif parsed is not None:
            instruction = Instruction(parsed[2] or "", parsed[3], parsed[4])
            blocks[-1].append(instruction)
            if instruction.target or not instruction.goes_on:
                blocks.append([])
    successors: list[list[int]] = []
    for number, block in enumerate(blocks):
        following = []
        if block and block[-1].target in starts and block[-1].opcode != "BRA.DIV":
            following.append(starts[block[-1].target])
        if number + 1 < len(blocks) and (not block or block[-1].goes_on):
            following.append(number + 1)
        successors.append(sorted(set(following)))
    return Function(blocks, successors)
