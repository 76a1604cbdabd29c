"""Values that were read from JSON, held to the types of a dataclass."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def typed(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass ``kind`` with these values; TypeError as for `check_types`, and for others."""
    check_types(kind, values)
    return kind(**values)


def check_types(kind: type, values: Mapping[str, Any]) -> None:
    """Raise TypeError, naming the first, for values that are not what the fields of ``kind`` hold.

    So it does for ``values`` that are no mapping, as damaged JSON may hold. A whole number may
    stand for a float, true and false may not stand for a number.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r:.40} stands for all of {kind.__name__}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            expected = getattr(hints[name], "__name__", hints[name])
            raise TypeError(f"{name} is {value!r:.40}, expected {expected}")


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return any(_fits(value, one) for one in arguments)
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(_fits(x, arguments[0]) for x in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(x, one) for item in value.items() for x, one in zip(item, arguments, strict=True)
        )
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, float) or _fits(value, int)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, hint)
