"""One item of a Sequence or generator: how it is made, and what is told when that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

# np.random's bit generator, and its state as it lies in memory (None: can't be read there).
_known: tuple[Any, Any] = (None, None)


class Outcome:
    """An item, or the exception that came in its place."""

    __slots__ = ("error", "item")

    def __init__(self, item: Any = None, error: BaseException | None = None) -> None:
        self.item = item
        self.error = error

    def result(self) -> Any:
        """Return the item, or raise the exception."""
        if self.error is None:
            return self.item
        try:
            raise self.error
        finally:
            # The traceback knows this frame: without this line the two would hold each other.
            self.error = None


class Source:
    """What items are made of; `position` counts them, `index` is what the user calls them."""

    def make(self, position: int, index: Any) -> Any:
        """Return an item; StopIteration says that there are no more."""
        raise NotImplementedError

    def label(self, position: int, index: Any) -> str:
        """Return what an item is called in messages."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What the source is called in messages."""
        raise NotImplementedError

    def attempt(self, position: int, index: Any) -> Outcome:
        """Return an item or the exception, whatever it is."""
        try:
            return Outcome(self.make(position, index))
        except BaseException as error:
            return Outcome(error=error)


class FromGenerator(Source):
    """Items of a generator, or of any iterator."""

    def __init__(self, generator: Iterator[Any]) -> None:
        self.generator = generator

    @property
    def name(self) -> str:
        """The name of the generator's function, or of the iterator's class."""
        return getattr(self.generator, "__name__", type(self.generator).__name__)

    def make(self, position: int, index: Any) -> Any:
        """Return the next item."""
        try:
            return next(self.generator)
        except StopIteration:
            # Without the value that the generator returned: it may not be fit to be pickled.
            raise StopIteration from None

    def label(self, position: int, index: Any) -> str:
        """Return the number of the item among all that were taken."""
        return f"item {position} of {self.name}"


class FromSequence(Source):
    """Items of a Sequence, each with random numbers of its own.

    Item number k is made with the global generators seeded from ``(seed, k)``. Seeding costs as
    much as a small batch, and items that share the global generators can't be made side by side.
    So `make_alone` finds out whether the Sequence draws at all; if not, `make` does not seed but
    only watches.
    """

    def __init__(self, sequence: Any, seed: int) -> None:
        self.sequence = sequence
        self.seed = seed
        self.draws = False  # one that was made alone has drawn
        self.suspect = False  # while others were made, somebody has drawn
        self.thorough = False

    def watch_from(self, states: tuple[Any, Any]) -> None:
        """Begin to watch, with the random numbers in these states.

        The second of a pair of normal numbers lies in store: it is drawn, and nothing moves.
        """
        self.thorough = bool(states[0].get("has_gauss"))

    @property
    def name(self) -> str:
        """The name of the Sequence's class."""
        return type(self.sequence).__name__

    def label(self, position: int, index: Any) -> str:
        """Return the index of the batch."""
        return f"batch {index} of {self.name}"

    def get(self, index: Any) -> Any:
        """Return an item of the Sequence; a StopIteration in there is an error like others."""
        try:
            return self.sequence[index]
        except StopIteration as stop:
            raise RuntimeError(
                f"{self.name}.__getitem__({index!r}) raised StopIteration. A Sequence has as many "
                "batches as its __len__ says; look for a next() without a default inside."
            ) from stop

    def make(self, position: int, index: Any) -> Any:
        """Return an item, and watch whether somebody draws random numbers meanwhile."""
        before = peek(self.thorough)
        try:
            return self.get(index)
        finally:
            if peek(self.thorough) != before:
                self.suspect = True

    def make_alone(self, position: int, index: Any) -> Any:
        """Return an item, made with random numbers of its own, and find out whether it draws."""
        with kept_random_states():
            seed_both(self.seed, position)
            before = peek()
            try:
                item = self.get(index)
            finally:
                self.draws = self.draws or peek() != before
        self.suspect = False
        return item


class FromSequenceSeeded(FromSequence):
    """Items of a Sequence in a process where nobody else draws: each is seeded."""

    def make(self, position: int, index: Any) -> Any:
        """Return an item, made with random numbers of its own."""
        seed_both(self.seed, position)
        return self.get(index)


# Random states.


def random_states() -> tuple[Any, Any]:
    """Return the states of np.random and of Python's random."""
    import random

    return np.random.get_state(legacy=False), random.getstate()


def set_random_states(states: tuple[Any, Any]) -> None:
    """Set the states of np.random and of Python's random to what `random_states` returned."""
    import random

    np.random.set_state(states[0])
    random.setstate(states[1])


@contextlib.contextmanager
def kept_random_states() -> Iterator[None]:
    """Put the states of np.random and of Python's random back at the end."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)


def seed_both(seed: int, position: int) -> None:
    """Seed np.random and random for one item."""
    import random

    random.seed((seed << 32) + position)
    np.random.seed([seed, position])
    if not isinstance(_bit_generator(), np.random.MT19937):
        # For generators put there by np.random.set_bit_generator, seed() leaves half of the last
        # pair of normal numbers in store.
        np.random.set_state(_bit_generator().state)


def peek(thorough: bool = False) -> Any:
    """Return something that changes when numbers are drawn from np.random or Python's random."""
    import random

    state: Any = np.random.get_state() if thorough else ()
    return _peek_numpy(), random.getstate(), state[3:]


def _peek_numpy() -> Any:
    """Return something that changes when numbers are drawn from np.random.

    Reading the whole state costs 35 microseconds. So two numbers are read from where it lies:
    how far the current block of 624 has been used, and the block's first number.
    """
    global _known
    generator = _bit_generator()
    if _known[0] is not generator:
        _known = generator, _words_of(generator)
    words = _known[1]
    return str(generator.state) if words is None else (words[624], words[0])


def _bit_generator() -> Any:
    return np.random.get_bit_generator()  # type: ignore[attr-defined]


def _words_of(generator: Any) -> Any:
    """Return the memory of an MT19937's state; None if it is not laid out as expected."""
    if not isinstance(generator, np.random.MT19937):
        return None
    import ctypes

    words = (ctypes.c_uint32 * 625).from_address(generator.ctypes.state_address)
    state: Any = generator.state["state"]
    return words if [*words] == [*state["key"], state["pos"]] else None


# Exceptions.


class RemoteTraceback(Exception):
    """The traceback of an exception in a worker process, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class Note(Exception):
    """Where an exception came from, for Pythons before 3.11, whose exceptions have no notes."""


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an exception, to be shown below its message."""
    if hasattr(error, "add_note"):
        error.add_note(note)
        return
    cause = Note(note)
    cause.__cause__ = error.__cause__ or error.__context__
    error.__cause__ = cause
    error.__notes__ = [*getattr(error, "__notes__", []), note]
