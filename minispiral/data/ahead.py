"""Items made ahead by a thread, while the caller uses the one before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

_END = object()


class Ahead(Iterator[T], Generic[T]):
    """The items of a generator, which belongs to a thread until the end.

    The thread begins with the first item at once, and with another as soon as one is taken: no more
    than one waits, or is in the making. What the generator raises is raised in the caller.
    Leaving the context calls ``stop``, if there is one, waits for the thread and closes the
    generator.
    """

    def __init__(
        self, items: Generator[T, None, None], name: str, stop: Callable[[], None] = lambda: None
    ) -> None:
        self._items, self._stop = items, stop
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._following = self._make()

    def _make(self) -> Future[object]:
        return self._pool.submit(next, self._items, _END)

    def __next__(self) -> T:
        item = self._following.result()
        if item is _END:
            raise StopIteration
        self._following = self._make()
        return item  # type: ignore[return-value]

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        self._pool.shutdown(cancel_futures=True)
        self._items.close()
