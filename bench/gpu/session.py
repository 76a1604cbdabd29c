"""The command's side of a worker on the GPU, which is started anew if it is lost."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from bench.common.worker import Answer, Worker, WorkerError

SECONDS = 120.0  # that an answer may take: a kernel may run forever


class RequestFailed(Exception):
    """Why a worker could not answer a request.

    ``traceback`` is the worker's, empty if it ended; ``lost`` says whether the worker had to be
    given up, because it ended or because the GPU no longer answered it.
    """

    def __init__(self, words: str, traceback: str = "", lost: bool = False) -> None:
        super().__init__(words)
        self.traceback, self.lost = traceback, lost

    def as_dict(self) -> dict[str, Any]:
        """For a report."""
        found: dict[str, Any] = {"error": str(self)}
        if self.traceback:
            found["traceback"] = self.traceback
        return found


class Session(Protocol):
    """What answers requests."""

    def ask(self, **request: Any) -> Answer:
        """The answer to a request; `RequestFailed` if there is none."""

    def close(self) -> None:
        """Free what it holds."""


class WorkerSession:
    """A worker that is started when it is first asked, and anew once it or the GPU is lost."""

    def __init__(self, start: Callable[[], Worker]) -> None:
        self.start = start
        self.worker: Worker | None = None

    def ask(self, **request: Any) -> Answer:
        try:
            if self.worker is None:
                self.worker = self.start()
            answer = self.worker.ask(**request)
        except WorkerError as error:
            self.close()
            raise RequestFailed(str(error), error.traceback, lost=True) from None
        if "error" in answer:
            if answer["lost"]:
                self.close()
            raise RequestFailed(answer["error"], answer["traceback"], answer["lost"])
        return answer

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def part(name: str, patience: float = SECONDS, **options: Any) -> WorkerSession:
    """A session with the worker of a module of this package."""
    return WorkerSession(partial(Worker, "gpu.worker", patience=patience, part=name, **options))
