"""Settings that hold for the whole process: float type, epsilon, image layout, checks."""

from __future__ import annotations

_FLOAT_TYPES = ("float16", "float32", "float64")
_DATA_FORMATS = ("channels_last", "channels_first")

_floatx = "float32"
_epsilon = 1e-7
_image_data_format = "channels_last"
_check_numerics = False


def floatx() -> str:
    """Return the float type of new weights and of all computation, ``'float32'`` by default.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> K.floatx()
    'float32'
    """
    return _floatx


def set_floatx(floatx: str) -> None:
    """Set the float type that layers built from now on use.

    Parameters
    ----------
    floatx : {'float16', 'float32', 'float64'}

    Raises
    ------
    ValueError
        If `floatx` is none of these.
    """
    global _floatx
    _floatx = _one_of(floatx, _FLOAT_TYPES, "floatx")


def epsilon() -> float:
    """Return the small number that keeps divisions and logarithms finite, 1e-7 by default."""
    return _epsilon


def set_epsilon(e: float) -> None:
    """Set the small number returned by `epsilon`.

    Parameters
    ----------
    e : float
        Greater than zero.

    Raises
    ------
    ValueError
        If `e` is not a positive number.
    """
    global _epsilon
    try:
        number = float(e)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"epsilon must be a positive number, got {e!r}.")
    _epsilon = number


def image_data_format() -> str:
    """Return the layout of images: ``'channels_last'`` (default) or ``'channels_first'``."""
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the layout that layers take when they are given no `data_format`.

    Parameters
    ----------
    data_format : {'channels_last', 'channels_first'}

    Raises
    ------
    ValueError
        If `data_format` is neither.
    """
    global _image_data_format
    _image_data_format = _one_of(data_format, _DATA_FORMATS, "data_format")


def image_dim_ordering() -> str:
    """Return the layout of images by its name in Keras 1: ``'tf'`` or ``'th'``."""
    return "th" if _image_data_format == "channels_first" else "tf"


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Set the layout of images by its name in Keras 1.

    Parameters
    ----------
    dim_ordering : {'tf', 'th'}
        Channels last, or channels first.

    Raises
    ------
    ValueError
        If `dim_ordering` is neither.
    """
    _one_of(dim_ordering, ("tf", "th"), "dim_ordering")
    set_image_data_format("channels_first" if dim_ordering == "th" else "channels_last")


def normalize_data_format(value: str | None) -> str:
    """Return `value` checked, or the process-wide setting where it is None."""
    if value is None:
        return _image_data_format
    return _one_of(value.lower() if isinstance(value, str) else value, _DATA_FORMATS, "data_format")


def check_numerics() -> bool:
    """Return whether models look for NaN and infinity in their data and in each layer's output."""
    return _check_numerics


def set_check_numerics(value: bool) -> None:
    """Make models refuse NaN and infinity, naming the first place where one appears.

    With True, `fit`, `evaluate`, `predict` and the ``*_on_batch`` methods check their inputs,
    targets and weights, each layer's output and each gradient. It costs a pass over each array.

    Parameters
    ----------
    value : bool

    Examples
    --------
    >>> from minikeras import backend as K
    >>> K.set_check_numerics(True)
    >>> K.check_numerics()
    True
    >>> K.set_check_numerics(False)
    """
    global _check_numerics
    _check_numerics = bool(value)


def _one_of(value: str, known: tuple[str, ...], name: str) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}.")
    return str(value)
