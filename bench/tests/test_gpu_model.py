"""What `python -m bench gpu model` counts, held against what a person counts."""

import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.common.task import Task
from bench.gpu import ceilings
from bench.gpu.model import code, compiler, cost, recording, rules, sass, traffic
from bench.gpu.model.assumptions import Assumptions, corrected
from bench.gpu.model.estimate import Model
from bench.gpu.model.rules import loops
from bench.gpu.model.rules.loops import Rule, Turns
from minispiral.errors import UserError
from minispiral.kernels.cuda import sources
from minispiral.kernels.cuda.table import KERNELS, Kernel

needs_compilers = pytest.mark.skipif(compiler.missing() is not None, reason=str(compiler.missing()))

TASK = Task(batch=2, side=15, width=0.125, depths=2)
ASSUMED = Assumptions()

PLAIN = """
__global__ void plain_copy(const float4 *x, int rounds, float4 *y) {
  #pragma unroll 1
  for (int i = 0; i < rounds; i++) y[i * 256 + threadIdx.x] = x[i * 256 + threadIdx.x];
}
__global__ void plain_ffma(const float *x, int rounds, float *y) {
  float a = x[0], b = x[1], c = x[2], d = x[3];
  #pragma unroll 1
  for (int i = 0; i < rounds; i++) {
    a = a * b + c, d = d * b + c, a = a * d + c, d = d * a + b, b = b * c + a;
  }
  y[threadIdx.x] = a + b + d;
}
"""


@pytest.fixture(scope="module")
def plain():
    """Two kernels that a person can count, by name."""
    names = ["plain_copy", "plain_ffma"]
    return {
        name: code.Code(Kernel("plain", name, 256, 0, 40), "sm_90", binary)
        for name, binary in compiler.compiled("sm_90", PLAIN, names).items()
    }


def lines_of_the_loop(plain, name):
    """The text between the target of the one jump backwards and that jump."""
    binary = plain[name].binary
    text = binary.text.partition(f"\n{binary.symbol}:\n")[2]
    lines = text.partition("\n//---")[0].splitlines()
    for end, line in enumerate(lines):
        target = re.search(r"\bBRA `\((\S+)\)", line)
        if target and f"{target[1]}:" in lines[: end + 1]:
            inside = lines[lines.index(f"{target[1]}:") + 1 : end + 1]
            return [line for line in inside if "/*" in line]
    raise AssertionError(text)


@needs_compilers
def test_a_plain_copy_and_a_loop_of_ffma_count_as_a_person_counts_them(plain):
    for name, expected in (
        ("plain_copy", {"LDG.128": 1, "STG.128": 1}),
        ("plain_ffma", {"FFMA": 5}),
    ):
        lines = lines_of_the_loop(plain, name)
        (loop,) = plain[name].counts()["loops"]
        assert loop == {"inside": None, "slots": len(lines), **expected}
        for kind, count in expected.items():
            opcode, _, width = kind.partition(".")
            assert sum(opcode in line and width in line for line in lines) == count


@needs_compilers
def test_copies_take_the_memory_and_ffma_their_issue_slots(plain, monkeypatch):
    """Of kernels that fill a GPU, by formulas: bytes, and slots at the rate of the SMs."""
    rounds, blocks = 1000, 132 * 8 * 5
    monkeypatch.setitem(rules.RULES, "plain_copy", lambda _: Rule([Turns("STG.128", 1, rounds)]))
    monkeypatch.setitem(rules.RULES, "plain_ffma", lambda _: Rule([Turns("FFMA", 5, rounds)]))
    model = Model(plain, ASSUMED)
    for name, nbytes in (("plain_copy", rounds * 256 * 16 * blocks), ("plain_ffma", 1024)):
        arguments = {
            argument.name: argument
            for argument in (
                recording.Argument("x", None, (1,), nbytes, False),
                recording.Argument("y", None, (1,), nbytes, True),
            )
        }
        launch = recording.Launch(plain[name].kernel, (blocks,), (256,), arguments)
        found = model.estimate(launch)
        assert found.floor == pytest.approx(2 * nbytes / 3e12)
        if name == "plain_copy":
            assert found.bound == "memory"
            assert found.model == pytest.approx(found.floor + 1.5e-6)
            continue
        slots = len(lines_of_the_loop(plain, name)) * rounds * 8 * blocks
        assert found.bound == "issue"
        assert found.model == pytest.approx(slots / (132 * 4 * 1.755e9 * 0.75), rel=0.02)
        # The SM that has most blocks decides.
        one, more, two = (model.estimate(replace(launch, grid=(n,))).model for n in (1, 133, 264))
        assert more == two == pytest.approx(2 * one, rel=0.1)
        # A block alone waits: b for the second a, which waits for the first, which waits for b.
        slow = Model(plain, replace(ASSUMED, latency_other=20))
        alone = slow.estimate(replace(launch, grid=(1,)))
        assert alone.bound == "latency"
        assert alone.model == pytest.approx(rounds * 3 * 20 / 1.755e9 + 1.5e-6, rel=0.1)


@needs_compilers
def test_products_of_matrices_are_counted_as_the_ceilings_count_them():
    (kernel,) = (kernel for kernel in ceilings.KERNELS if kernel.expression == "ceiling_mma")
    binary = compiler.compiled("sm_90", sources.expand(kernel.file), [kernel.expression])
    function = code.Code(kernel, "sm_90", binary[kernel.expression]).function
    loop = max(function.loops, key=lambda loop: len(function.own_code(loop)))
    body = function.own_code(loop)
    products = sum(instruction.name == "HMMA" for instruction in body)
    flop = sum(cost.tensor_flop(instruction) for instruction in body)
    assert products % 8 == 0
    assert flop == products / 8 * ceilings.MMA


@needs_compilers
def test_the_same_number_twice_and_loops_turn_as_the_source_says():
    """Of two kernels whose text is read anew, and of two recordings."""
    names = ["merge_row_sums<float>", "finish_parts"]
    task = Task(batch=2, side=31, width=0.5, depths=2)
    found = []
    for _ in range(2):
        launches = recording.step(task, "tf32")
        launches = [launch for launch in launches if launch.kernel.expression in names]
        code._functions.cache_clear()
        codes = code.codes("sm_90", names)
        found.append([(e.model, e.slots) for e in Model(codes, ASSUMED).step(launches)])
    assert found[0] == found[1]
    assert {launch.kernel.expression for launch in launches} == {*names}

    sums = code.codes("sm_90", ["sum_parts<float>"])["sum_parts<float>"].function
    turns = loops.turns_of_loops(sums, Rule([Turns("LDG.32", 1, 37)]), "sum_parts")
    loads = {
        loop: sum(instruction.name == "LDG" for instruction in sums.own_code(loop))
        for loop in sums.loops
    }
    assert sum(loads[loop] * count for loop, count in turns.items()) == 37
    with pytest.raises(loops.RuleError, match="expects one"):
        loops.turns_of_loops(sums, Rule([Turns("HMMA", 1, 37)]), "sum_parts")
    with pytest.raises(loops.RuleError, match="all of its loops"):
        loops.turns_of_loops(sums, Rule(), "sum_parts")


def test_every_kernel_has_a_rule_and_every_rule_a_kernel():
    names = {expression.partition("<")[0] for expression in KERNELS}
    assert names == {*rules.RULES}


TEXT = """
//--------------------- .text.walk --------------------------
walk:
        /*0000*/                   ULDC.U8 UR4, c[0x0][0x218] ;
        /*0010*/                   UPRMT UR4, UR4, 0x8880, URZ ;
        /*0020*/                   ISETP.NE.AND P0, PT, RZ, UR4, PT ;
        /*0030*/                   MOV R3, 0x7 ;
        /*0040*/              @!P0 BRA `(.L_x_1) ;
        /*0050*/                   LDG.E R2, desc[UR6][R4.64] ;
        /*0060*/                   FADD R2, R2, R2 ;
.L_x_1:
        /*0070*/                   DADD R8, R8, R10 ;
.L_x_2:
        /*0080*/                   LDS.128 R12, [R20] ;
        /*0090*/                   FCHK P1, R12, R13 ;
        /*00a0*/              @!P1 BRA `(.L_x_3) ;
        /*00b0*/                   MOV R30, 0xd0 ;
        /*00c0*/                   CALL.REL.NOINC `($slow) ;
.L_x_3:
        /*00d0*/                   FFMA R16, R12, R13, R16 ;
        /*00e0*/                   ISETP.GE.AND P2, PT, R3, RZ, PT ;
        /*00f0*/               @P2 BRA `(.L_x_2) ;
        /*0100*/                   IADD3 R3, R3, -0x1, RZ ;
        /*0110*/               @P3 BRA `(.L_x_1) ;
        /*0120*/                   STG.E desc[UR6][R4.64], R16 ;
        /*0130*/                   EXIT ;
.L_x_4:
        /*0140*/                   BRA `(.L_x_4) ;
        /*0150*/                   NOP ;
$slow:
        /*0160*/                   RET.REL.NODEC R30 `(walk) ;
"""


def names_of(instructions):
    return [instruction.name for instruction in instructions]


def test_loops_flags_and_detours_of_a_text():
    walk = sass.functions(TEXT)["walk"]
    outer, inner = walk.loops
    assert walk.parent(inner) is outer
    assert names_of(walk.own_code(outer)) == ["DADD", "IADD3", "BRA"]
    # Without the call for numbers at the ends of the range.
    assert names_of(walk.own_code(inner)) == ["LDS", "FCHK", "BRA", "FFMA", "ISETP", "BRA"]
    before, after = ["ULDC", "UPRMT", "ISETP", "MOV", "BRA"], ["STG", "EXIT"]
    assert names_of(walk.own_code(None)) == [*before, "LDG", "FADD", *after]
    assert names_of(walk.given({0x218: False}).own_code(None)) == [*before, *after]
    assert names_of(walk.given({0x218: True}).own_code(None)) == [*before, "LDG", "FADD", *after]
    assert names_of(walk.given({0x219: False}).own_code(None)) == [*before, "LDG", "FADD", *after]


def test_a_warp_alone_waits_for_what_it_reads():
    def clocks(*words, loop=False):
        parsed = [sass.Instruction("", *word.split(" ", 1)) for word in words]
        return cost.clocks_alone(parsed, ASSUMED, 600, loop)

    load, use = "LDG.E.64 R2, desc[UR4][R8.64]", "FADD R4, R4, R3"
    assert clocks(load, use) == 601  # R3 is the second half of what is loaded
    assert clocks(load, "FADD R4, R4, R5") == 2
    assert clocks("FFMA R1, R1, R2, R3", loop=True) == ASSUMED.latency_other
    assert clocks("DFMA R4, R6, R8, R4", "DADD R4, R4, R10", loop=True) == 2 * 8
    assert clocks("DFMA R4, R6, R8, R10", "DADD R12, R5, R14") == 8 + 1
    assert (
        clocks(load, use, "STG.E desc[UR4][R8.64], R4", loop=True)
        == 600 + ASSUMED.latency_other + 1
    )
    group = "LDGSTS.E.BYPASS.128 [R9], desc[UR4][R8.64]", "LDGDEPBAR ", "DEPBAR.LE SB0, 0x1"
    assert clocks(*group) == 3
    assert clocks(*group, loop=True) == pytest.approx(600, abs=3)


def test_registers_spills_and_shared_memory_limit_the_warps_of_an_sm():
    def warps(registers, shared, threads=256, arch="sm_90"):
        binary = compiler.Binary("", "", registers, 0, 0, 0)
        found = code.Code(Kernel("", "", threads, shared, 255), arch, binary)
        return found.resident_blocks * found.warps

    assert warps(32, 0) == 64
    assert warps(33, 0) == 48  # 40 registers are given to a thread
    assert warps(128, 0) == 16
    assert warps(32, 100 * 1024) == 16
    assert warps(32, 100 * 1024, arch="sm_80") == 8
    assert warps(16, 0, threads=32) == 32


def test_bytes_and_flags_of_launches():
    launches = recording.step(TASK, "tf32")
    by_name = {traffic.name_of(launch): launch for launch in reversed(launches)}  # the first
    add = by_name["add"]
    n, nb = add["n"], add["nb"]
    assert traffic.bytes_moved(add) == (4 * (n + nb), 4 * n)
    adam = by_name["adam"]
    parameters = adam["owner"][0] * adam["share"]
    assert traffic.bytes_moved(adam) == (16 * parameters, 12 * parameters)
    # Convolution is a struct of 11 ints; x, w and y are addresses of 8 bytes. The flags are scaled,
    # with_moments and with_grad_sums.
    found = traffic.flags(by_name["conv2d_few"], 0x210)
    assert found == {0x258: False, 0x270: True, 0x280: False}


def test_assumptions_are_replaced_one_by_one():
    changed = corrected(["memory=2.5", "launch=2"])
    assert changed == replace(ASSUMED, memory=2.5, launch=2)
    assert {row["name"] for row in changed.rows()} >= {"memory", "busy", "tensor", "l2"}
    assert all(row["unit"] and row["why"] for row in changed.rows())
    for wrong in ("speed=3", "memory", "memory=fast", "memory=0", "memory=nan"):
        with pytest.raises(UserError, match=wrong):
            corrected([wrong])


def test_without_a_disassembler_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr(compiler, "nvdisasm", lambda: None)
    result = CliRunner().invoke(main, ["gpu", "model"])
    assert result.exit_code == 1
    assert "pip install" in result.output
    assert "nvidia-cuda-nvdisasm" in result.output


def test_recording_takes_no_memory(monkeypatch):
    """A full step would need gigabytes; only the network's own numbers are made."""
    sizes = []
    empty = recording.Recorder.empty

    def counted(self, shape, dtype):
        array = empty(self, shape, dtype)
        sizes.append(array.nbytes)
        return array

    monkeypatch.setattr(recording.Recorder, "empty", counted)
    recording.step(replace(TASK, batch=4096, side=255), "float32")
    assert sum(sizes) > 5e10
    assert np.max(sizes) > 1e9
