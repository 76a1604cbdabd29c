"""The command's side of a worker on the GPU, which is started anew if it is lost."""

from collections.abc import Callable
from threading import Timer
from typing import Any, Protocol

from bench.common.worker import Answer, Worker, WorkerError

SECONDS = 120.0  # that an answer may take: a kernel may run forever


class RequestFailed(Exception):
    """Why a worker could not answer a request."""


class Session(Protocol):
    """What answers requests."""

    def ask(self, **request: Any) -> Answer:
        """The answer to a request; `RequestFailed` if there is none."""

    def close(self) -> None:
        """Free what it holds."""


class WorkerSession:
    """A worker that is started when it is first session, and anew once it or the GPU is lost."""

    def __init__(self, start: Callable[[], Worker], seconds: float = SECONDS) -> None:
        self.start, self.seconds = start, seconds
        self.worker: Worker | None = None

    def ask(self, **request: Any) -> Answer:
        late: list[bool] = []

        def end(process: Any) -> None:
            late.append(True)
            process.kill()

        timer: Timer | None = None
        try:
            if self.worker is None:
                self.worker = self.start()
            timer = Timer(self.seconds, end, [self.worker.process])
            timer.start()
            answer = self.worker.ask(**request)
        except WorkerError as error:
            self.close()
            raise RequestFailed(
                f"no answer in {self.seconds:g} s" if late else str(error)
            ) from None
        finally:
            if timer is not None:
                timer.cancel()
        if "error" in answer:
            if answer["lost"]:
                self.close()
            raise RequestFailed(answer["error"])
        return answer

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def part(name: str) -> WorkerSession:
    """A session with the worker of a module of this package."""
    return WorkerSession(lambda: Worker("gpu.worker", part=name))
