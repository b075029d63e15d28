"""Where every random number of the library comes from.

``np.random.seed(n)`` at the top of a script must make two runs equal bit for bit, as Keras'
users expect. So the seed of each generator is drawn from NumPy's global state. The bulk of the
numbers then comes from SFC64, which is several times faster than NumPy's legacy generator.
"""

from __future__ import annotations

import numpy as np

_LARGEST_SEED = 2**63 - 1


def new_generator(seed: int | None = None) -> np.random.Generator:
    """Return a fresh generator.

    Parameters
    ----------
    seed : int, optional
        None (default) draws the seed from ``np.random``, so that ``np.random.seed`` decides it.

    Returns
    -------
    numpy.random.Generator
        Over SFC64 [1]_.

    Raises
    ------
    ValueError
        If `seed` is negative or no whole number.

    References
    ----------
    .. [1] C. Doty-Humphrey, "PractRand", http://pracrand.sourceforge.net

    Examples
    --------
    >>> new_generator(7).random() == new_generator(7).random()
    True
    """
    if seed is None:
        seed = int(np.random.randint(0, _LARGEST_SEED, dtype=np.int64))
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number of 0 or more, or None; got {seed!r}.")
    return np.random.Generator(np.random.SFC64(int(seed)))


class RandomSource:
    """A generator that is made when first asked for, and made anew after `renew`.

    Making one takes longer than drawing a small dropout mask, so a training makes one an epoch.

    Examples
    --------
    >>> source = RandomSource()
    >>> np.random.seed(1)
    >>> first = source.generator.random()
    >>> np.random.seed(1)
    >>> source.renew()
    >>> source.generator.random() == first
    True
    """

    def __init__(self) -> None:
        self._generator: np.random.Generator | None = None

    @property
    def generator(self) -> np.random.Generator:
        """The generator, seeded from ``np.random``."""
        if self._generator is None:
            self._generator = new_generator()
        return self._generator

    def renew(self, at_once: bool = False) -> None:
        """Seed the generator again from ``np.random``: when it is next asked for, or at once."""
        self._generator = new_generator() if at_once else None
