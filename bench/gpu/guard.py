"""Work on a GPU that answers even if it fails."""

import traceback
from collections.abc import Callable
from typing import Any

from bench.common.worker import Answer

Work = Callable[[dict[str, Any]], Answer]


def guarded(work: Work, synchronize: Callable[[], object]) -> Work:
    """``work``; if it raises, the answer has ``error``, ``traceback`` and ``lost``.

    ``lost`` says whether the GPU no longer answers, which is when ``synchronize`` raises.
    """

    def answer(request: dict[str, Any]) -> Answer:
        try:
            found = work(request)
            synchronize()  # errors of kernels surface here, so they are in the right answer
            return found
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            found = {"error": words, "traceback": traceback.format_exc(), "lost": False}
        try:
            synchronize()
        except Exception:
            found["lost"] = True
        return found

    return answer
