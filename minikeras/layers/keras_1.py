"""The one form of Keras 1 that Keras 2.2 reads without a keyword: ``Conv2D(32, 3, 3)``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from minikeras.utils.warning import warn

Init = TypeVar("Init", bound=Callable[..., None])


def window_by_position(rank: int) -> Callable[[Init], Init]:
    """Let a constructor take its window as `rank` ints after `filters`, as Keras 2.2 does.

    In later Keras, the third argument by position means `strides`. Keras 2.2 refuses the form if
    there is anything that hints at that, and so does this.

    Parameters
    ----------
    rank : int
        2 or 3.

    Raises
    ------
    ValueError
        By the constructor, if there are more arguments by position, or `strides`, `padding` or
        `data_format`.
    """

    def decorate(init: Init) -> Init:
        @functools.wraps(init)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
            if len(args) > rank and all(isinstance(n, int) for n in args[1 : rank + 1]):
                args = (args[0], _window(type(self).__name__, rank, args, kwargs))
            init(self, *args, **kwargs)

        return cast(Init, wrapped)

    return decorate


def _window(name: str, rank: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    window = args[1 : rank + 1]
    call = f"{name}({', '.join(map(repr, args))})"
    remedy = f"Write kernel_size={window}, or strides=... by its name if that is what it means."
    hints = [f" with {key}=..." for key in ("strides", "padding", "data_format") if key in kwargs]
    if hints or len(args) > rank + 1:
        raise ValueError(
            f"{call}{''.join(hints[:1])} may mean two things: Keras 1 and 2.2 read the numbers as "
            f"a window of {window}, later Keras reads the third as strides. {remedy}"
        )
    warn(f"{call} is read as in Keras 1 and 2.2, with a window of {window}. {remedy}")
    return window
