"""Each kernel compiled, described and launched once; the files beside each other.

A kernel is launched by the case of `bench.gpu.cases` that has the least to move. Of a file that is
tried only its own kernels are launched, so that a mistake in another one is not in its way: what
they compute is not looked at here.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from bench.common.worker import Answer, Work
from bench.gpu.around import Around
from bench.gpu.cases import cases
from bench.gpu.clock import DeviceClock
from bench.gpu.first.log import Put
from bench.gpu.first.setting import Setting
from bench.gpu.model.recording import Launch, recording
from bench.gpu.session import RequestFailed, Session
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.table import KERNELS, Kernel, expressions

COMPILING = 75.0  # seconds that a file may take


class Smallest(NamedTuple):
    """A case that launches a kernel, and how much that launch moves."""

    case: int
    bytes: int


def files() -> list[str]:
    """Those with most to compile first."""
    found = {kernel.file for kernel in KERNELS.values()}
    return sorted(found, key=lambda file: (file != "conv2d_mma.cu", -len(expressions(file)), file))


def smallest(seed: int = 0) -> dict[str, Smallest]:
    """For each kernel the case to launch it by, found without a GPU."""
    found: dict[str, Smallest] = {}
    for case in range(len(cases())):
        for one in _recorded(case, seed):
            moved = sum(argument.nbytes for argument in one.arguments.values())
            name = one.kernel.expression
            if name not in found or moved < found[name].bytes:
                found[name] = Smallest(case, moved)
    return found


def _recorded(case: int, seed: int) -> list[Launch]:
    """What a case launches, up to where it needs a result."""
    with recording() as recorder:
        with suppress(Exception):  # nothing is computed: what asks for a number fails
            run_case(case, seed)
        return recorder.launches


def run_case(case: int, seed: int = 0) -> None:
    """Make the call of a case on the GPU in use."""
    call = cases()[case].call(seed)
    put = launch.gpu().put
    call.function(*(put(a) if isinstance(a, np.ndarray) else a for a in call.arguments))


class OneFile(Around):
    """A GPU that launches the kernels of one file, each to its end, and no others."""

    def __init__(self, device: launch.Gpu, file: str) -> None:
        super().__init__(device)
        self.file = file
        self.launched: set[str] = set()

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        if kernel.file == self.file:
            self.device.launch(kernel, grid, block, arguments)
            self.device.synchronize()
            self.launched.add(kernel.expression)


def worker(clock: DeviceClock) -> Work:
    """Compiles a file, describes a kernel or launches one."""

    def work(request: Answer) -> Answer:
        what = request["what"]
        if what == "compile":
            compile_file(request["file"])
            return {}
        kernel = KERNELS[request["kernel"]]
        if what == "attributes":
            return attributes(kernel)
        alone: Any = OneFile(launch.gpu(), kernel.file)
        with launch.using(alone):
            run_case(request["case"])
        if kernel.expression not in alone.launched:
            raise RuntimeError("its case did not launch it")
        return {}

    return work


def compile_file(file: str) -> None:
    """Have CuPy compile all kernels of a file, and load them."""
    gpu: Any = launch.gpu()
    gpu._compile(file, gpu.cupy.cuda.Device().id)


def attributes(kernel: Kernel) -> Answer:
    """Registers, spilled bytes and blocks on a multiprocessor, as the driver says."""
    gpu: Any = launch.gpu()
    key = gpu.cupy.cuda.Device().id, kernel.expression
    if key not in gpu.functions:
        compile_file(kernel.file)
    function = gpu.functions[key]
    blocks = gpu.cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
        function.kernel.ptr, kernel.threads, kernel.shared
    )
    found = function.attributes
    return {
        "registers": found["num_regs"],
        "registers_declared": kernel.registers,
        "spilled_bytes": found["local_size_bytes"],
        "blocks": blocks,
        "warps": blocks * -(-kernel.threads // 32),
        "ptx": found["ptx_version"],
        "binary": found["binary_version"],
    }


def stage(setting: Setting, put: Put) -> None:
    """All files."""
    chosen = smallest()
    with ThreadPoolExecutor(setting.threads) as pool:
        list(pool.map(lambda file: _try(file, setting, put, chosen), files()))


def _try(file: str, setting: Setting, put: Put, chosen: dict[str, Smallest]) -> None:
    """One file, in a process of its own that is started anew when it is lost."""
    session = setting.open("first.kernels", COMPILING)
    try:
        compiled = _ask(session, put, {"file": file, "what": "compile"}, file=file)
        if not compiled:
            put({"file": file, "what": "launch", "skipped": "it does not compile"})
            return
        for name in expressions(file):
            _ask(session, put, {"file": file, "what": "attributes", "kernel": name}, kernel=name)
        for name in expressions(file):
            item = {"file": file, "what": "launch", "kernel": name}
            if name not in chosen:
                put({**item, "skipped": "no case launches it"})
                continue
            _ask(session, put, item, kernel=name, case=chosen[name].case)
    finally:
        session.close()


def _ask(session: Session, put: Put, item: dict[str, Any], **request: Any) -> bool:
    """Whether there was an answer; either way there is an item."""
    start = time.perf_counter()
    try:
        answer = session.ask(what=item["what"], **request)
    except RequestFailed as error:
        put({**item, **error.as_dict()})
        return False
    kept = {name: value for name, value in answer.items() if name not in ("seconds", "peak_mib")}
    put({**item, **kept, "seconds": round(time.perf_counter() - start, 3)})
    return True
