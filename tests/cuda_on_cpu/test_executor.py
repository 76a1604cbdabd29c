"""The CPU in the place of a GPU: what kernels may rely on there, and which mistakes it reports."""

from pathlib import Path

import numpy as np
import pytest

from tests.cuda_on_cpu import CompilerError, CpuDevice, DeviceArray, KernelError, needs_compiler

pytestmark = needs_compiler

EXAMPLES = Path(__file__).with_name("examples.cu")
EXPRESSIONS = [
    "numbers",
    "turn<true>",
    "turn<false>",
    "barrier_for_some",
    "turn_by_shuffles",
    "shuffles",
    "shuffle_for_some",
    "different_operations",
    "half_a_mask",
    "copies<0>",
    "copies<1>",
    "copies<2>",
    "copy4",
    "copy16",
    "round_to_tf32",
    "matrix_product",
    "touch",
    "touch_shared",
    "divide",
    "bottomless",
]


class Runner:
    """Runs the kernels above on a device, on the memory of its arrays."""

    def __init__(self, device):
        self.device = device

    def __call__(self, name, block, *arguments, grid=(1,), shared=0):
        index = EXPRESSIONS.index(name)
        arguments = [DeviceArray(a) if isinstance(a, np.ndarray) else a for a in arguments]
        self.device.run(EXAMPLES, EXPRESSIONS, index, grid, block, shared, arguments)

    def put(self, values):
        return self.device.put(values).memory

    def empty(self, shape, dtype):
        return self.device.empty(shape, dtype).memory

    def fails(self, *args, **options):
        with pytest.raises(KernelError) as failure:
            self(*args, **options)
        return str(failure.value)


@pytest.fixture(params=[False, True], ids=["forward", "reverse"])
def run(request):
    return Runner(CpuDevice(request.param))


def floats(run, rng, *shape):
    return run.put(rng.standard_normal(shape).astype(np.float32))


def test_every_thread_of_every_block_runs_once(run):
    grid, block = (2, 3, 4), (5, 2, 3)
    threads, blocks = (run.empty((24, 30), np.int32) for _ in range(2))
    run("numbers", block, threads, blocks, grid=grid)
    assert np.array_equal(threads, np.tile(np.arange(30), (24, 1)))
    assert np.array_equal(blocks, np.tile(np.arange(24)[:, None], 30))


def test_at_a_barrier_all_have_written_and_without_one_not(run, rng):
    x, y = floats(run, rng, 3, 70), run.empty((3, 70), np.float32)
    run("turn<true>", (70,), x, y, grid=(3,), shared=280)
    assert np.array_equal(y, x[:, ::-1])
    run("turn<false>", (70,), x, y, grid=(3,), shared=280)
    # Half of the threads come before those whose values they want: NaN in each block anew.
    assert np.isnan(y).sum() == 3 * 35


def test_a_barrier_that_some_pass_by_is_an_error(run):
    text = run.fails("barrier_for_some", (64,), np.int32(63))
    assert text.startswith(
        "barrier_for_some, block (0, 0, 0): not every thread reaches the barrier"
    )
    assert "63 at __syncthreads" in text
    assert "1 at the end" in text
    run("barrier_for_some", (64,), np.int32(64))
    run("barrier_for_some", (64,), np.int32(0))


def test_lanes_see_what_others_show(run, rng):
    x, y = run.put(rng.standard_normal(32)), run.empty((32,), np.float64)
    run("turn_by_shuffles", (32,), x, y)
    assert np.array_equal(y, x[::-1])
    x = run.put(rng.integers(0, 1000, 64, np.int32))
    down, from3 = (run.empty((64,), np.int32) for _ in range(2))
    run("shuffles", (64,), x, down, from3)
    lanes = np.arange(32)
    source = np.where(lanes + 5 < 32, lanes + 5, lanes)
    assert np.array_equal(down, np.r_[x[source], x[32 + source]])
    assert np.array_equal(from3, np.repeat(x[[3, 35]], 32))


def test_an_operation_of_a_part_of_a_warp_is_an_error(run):
    y = run.empty((64,), np.int32)
    text = run.fails("shuffle_for_some", (64,), np.int32(40), y)
    assert "the lanes of warp 1 part" in text
    assert "8 at __shfl_sync" in text
    assert "24 at the end" in text
    run("shuffle_for_some", (64,), np.int32(32), y)
    text = run.fails("different_operations", (32,), np.int32(3))
    assert "3 at __syncwarp" in text
    assert "29 at __shfl_sync" in text
    assert "mask 0xffff" in run.fails("half_a_mask", (32,))
    # A block that ends amidst a warp.
    assert "20 at __shfl_sync" in run.fails("shuffle_for_some", (20,), np.int32(20), y)


@pytest.mark.parametrize("pending", [0, 1, 2])
def test_copies_arrive_when_they_are_waited_for(run, rng, pending):
    x = floats(run, rng, 12)
    y = run.empty((12,), np.float32)
    arrived = 4 * (3 - pending)
    for last_one in (True, False):
        run(f"copies<{pending}>", (1,), x, y, np.bool_(last_one), shared=48)
        expected = x[:arrived].copy()
        if not last_one:
            expected[8:] = 0
        assert np.array_equal(y[:arrived], expected)
        assert np.isnan(y[arrived:]).all()


def test_copies_between_misaligned_addresses_are_errors(run, rng):
    x, y = floats(run, rng, 8), run.empty((1,), np.float32)
    run("copy16", (1,), x, np.int32(4), np.int32(4), shared=48)
    for places in ((1, 4), (4, 2)):
        assert "misaligned" in run.fails("copy16", (1,), x, *np.int32(places), shared=48)
    run("copy4", (1,), x, y, np.int32(7), np.int32(3), shared=48)
    assert y[0] == x[7]


def test_tf32_keeps_ten_bits_and_rounds_ties_away_from_zero(run):
    ulp = 2.0**-10
    pairs = {
        1 + ulp / 2: 1,
        1 + 0.51 * ulp: 1 + ulp,
        -1 - 1.5 * ulp: -1 - 2 * ulp,
        1 + 2.49 * ulp: 1 + 2 * ulp,
        0.0: 0.0,
        1e-40: 1e-40,  # subnormal: nothing to round to but its own grid
        np.inf: np.inf,
        np.nan: np.nan,
    }
    x = run.put(np.array(list(pairs), np.float32))
    y = run.empty(x.shape, np.float32)
    run("round_to_tf32", x.shape, x, y)
    np.testing.assert_allclose(y, list(pairs.values()), rtol=1e-7, atol=1e-41)


def test_a_warp_multiplies_matrices(run, rng):
    a, b, d = floats(run, rng, 16, 8), floats(run, rng, 8, 8), floats(run, rng, 16, 8)
    result = run.put(d)
    run("matrix_product", (32,), a, b, result)

    def cut(x):
        """Without the 13 bits that a tensor core does not read."""
        return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)

    np.testing.assert_allclose(result, d + cut(a) @ cut(b), rtol=0, atol=1e-6)


def test_touching_what_lies_beyond_an_array_is_an_error(run):
    x = run.empty((5, 3), np.float32)
    if run.device.reverse:
        text = run.fails("touch", (1,), x, np.int32(-1))
        assert "4 bytes before argument 0 (5, 3)" in text
    else:
        text = run.fails("touch", (1,), x, np.int32(17))
        assert "8 bytes beyond argument 0 (5, 3)" in text
    assert "block (0, 0, 0), thread (0, 0, 0)" in text
    run("touch", (1,), x, np.int32(14))
    assert x[4, 2] == 1
    assert "memory that is not there" in run.fails("touch_shared", (1,), np.int32(4), shared=16)
    run("touch_shared", (1,), np.int32(3), shared=16)


def test_other_faults_end_the_launch_and_not_the_process(run):
    x = run.put(np.array([7], np.int32))
    assert "division by zero" in run.fails("divide", (1,), x, np.int32(0))
    run("divide", (1,), x, np.int32(2))
    assert x[0] == 3
    assert "memory that is not there" in run.fails("bottomless", (1,), x)
    assert "no GPU runs 1025 threads" in run.fails("bottomless", (1025,), x)


def test_arguments_that_are_not_the_parameters_are_refused(run):
    x = run.empty((3,), np.float32)
    assert "takes *f4 i4" in run.fails("touch", (1,), x, np.int64(0))
    assert "given *f8 i4" in run.fails("touch", (1,), x.astype(np.float64), np.int32(0))
    assert "given *f4" in run.fails("touch", (1,), x)
    assert "given f4 i4" in run.fails("touch", (1,), np.float32(0), np.int32(0))


def test_shared_arrays_that_could_not_be_poisoned_do_not_compile(tmp_path):
    file = tmp_path / "static.cu"
    file.write_text("__global__ void f() { __shared__ float x[3]; x[0] = 0; }")
    with pytest.raises(CompilerError, match="__shared__"):
        CpuDevice().run(file, ["f"], 0, (1,), (1,), 0, [])


def test_the_portable_fibers_do_the_same(rng):
    run = Runner(CpuDevice(flags=["-DCUDA_ON_CPU_UCONTEXT"]))
    x, y = floats(run, rng, 3, 70), run.empty((3, 70), np.float32)
    run("turn<true>", (70,), x, y, grid=(3,), shared=280)
    assert np.array_equal(y, x[:, ::-1])
    assert "not every thread" in run.fails("barrier_for_some", (64,), np.int32(63))
    assert "memory that is not there" in run.fails("touch", (1,), x, np.int32(210))
