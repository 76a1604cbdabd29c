"""Ctrl-C, SIGTERM and a closed terminal stop a run between two steps, not in the middle of one."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# Of a signal that is sent to several processes, in seconds:
REPEATED = 1.0  # until one that comes again is another
LATE = 0.2  # until the last process has it; Open MPI kills a second after it has sent one


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP stopped a run; ``run`` holds a checkpoint of ``step``."""

    def __init__(self, run: Path, step: int, signum: int) -> None:
        self.run = run
        self.step = step
        self.signum = signum
        super().__init__(
            f"Stopped after step {step}; the checkpoint is {run / 'last.safetensors'}."
        )

    @property
    def exit_code(self) -> int:
        """That of a process stopped by this signal: 128 plus the signal, 130 for Ctrl-C."""
        return 128 + self.signum


class StopRequest:
    """The signal that asked the run to stop, None until then."""

    signum: int | None = None


@contextmanager
def stop_requests(several: bool = False) -> Iterator[StopRequest]:
    """Record Ctrl-C, SIGTERM or SIGHUP instead of dying; a second signal acts as usual.

    Where ``several`` processes are sent a signal, which they get one after another and some of them
    perhaps twice, a second one is one that comes later. Only the main thread may handle signals;
    in any other thread none are recorded.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    latest = 0.0  # when a signal is still the first one

    def record(signum: int, frame: FrameType | None) -> None:
        nonlocal latest
        if request.signum is None:
            request.signum = signum
            latest = time.monotonic() + REPEATED
            if not several:
                restore_handlers()
        elif time.monotonic() > latest:
            restore_handlers()
            signal.raise_signal(signum)

    def restore_handlers() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)

    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        before[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)  # nohup sets SIG_IGN
    for signum in before:
        signal.signal(signum, record)
    try:
        yield request
    except Interrupted:
        if several:
            time.sleep(LATE)  # this process may yet get what stopped another
        raise
    finally:
        restore_handlers()
