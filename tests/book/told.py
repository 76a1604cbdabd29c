"""A wrong answer in one expression."""

from collections.abc import Callable
from typing import Any


def told(reason: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    """The answer, with what its refusal must match as its docstring."""
    answer.__doc__ = reason
    return answer
