"""Finding an object by name: one mechanism for layers, losses, optimizers and all the rest.

A registry is an explicit table. Nothing is looked up in a module's globals and nothing is
imported by name, so a name that comes out of a file can only reach what stands in the table
or what the user has registered as a custom object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_custom_objects: dict[str, Any] = {}


def get_custom_objects() -> dict[str, Any]:
    """Return the table of custom objects that every lookup by name also searches.

    Examples
    --------
    >>> def double(x):
    ...     return 2 * x
    >>> get_custom_objects()["double"] = double
    >>> get_custom_objects().pop("double") is double
    True
    """
    return _custom_objects


class CustomObjectScope:
    """Make custom objects known by name inside a ``with`` block.

    Parameters
    ----------
    *args : dict
        Tables of name to class or function. Later tables win.

    Examples
    --------
    >>> def double(x):
    ...     return 2 * x
    >>> with CustomObjectScope({"double": double}):
    ...     "double" in get_custom_objects()
    True
    >>> "double" in get_custom_objects()
    False
    """

    def __init__(self, *args: Mapping[str, Any]) -> None:
        self.custom_objects = args
        self._outer: list[dict[str, Any]] = []

    def __enter__(self) -> CustomObjectScope:
        self._outer.append(dict(_custom_objects))
        for table in self.custom_objects:
            _custom_objects.update(table)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _custom_objects.clear()
        _custom_objects.update(self._outer.pop())


def custom_object_scope(*args: Mapping[str, Any]) -> CustomObjectScope:
    """Return a `CustomObjectScope` over the given tables."""
    return CustomObjectScope(*args)


def unknown_name_message(what: str, name: object, known: Iterable[str]) -> str:
    """Word the error for an unknown name: the closest known one first, then all of them."""
    import difflib

    names = sorted(known, key=lambda known_name: (known_name.lower(), known_name))
    by_lower = {n.lower(): n for n in names}
    close = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f" Did you mean '{by_lower[close[0]]}'?" if close else ""
    return f"Unknown {what} {name!r}.{hint} Known: {', '.join(names)}."


class WrongKind(TypeError, ValueError):
    """Something of a wrong type stands for a name: a TypeError, and Keras' ValueError as well."""


class Registry:
    """A table of the named objects of one kind, with Keras' four ways of naming one.

    Parameters
    ----------
    kind : str
        What the objects are, for error messages: ``'optimizer'``.
    entries : dict
        Name to class or function.
    aliases : dict, optional
        Other name to a name in `entries`.
    base : type, optional
        The class whose instances count as objects of this kind. None (default): any callable.
    factories : iterable of str, optional
        The names in `entries` of functions that make an object when called without arguments,
        as a class does: ``'l2'`` among the regularizers.
    other_names : iterable of str, optional
        What else may be written in the same place; for error messages only.

    Examples
    --------
    >>> def double(x):
    ...     return 2 * x
    >>> numbers = Registry("function", {"double": double}, aliases={"twice": "double"})
    >>> numbers.get("twice") is double, numbers.get(double) is double
    (True, True)
    >>> numbers.get("dubble")
    Traceback (most recent call last):
        ...
    ValueError: Unknown function 'dubble'. Did you mean 'double'? Known: double, twice. ...
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, Any],
        aliases: Mapping[str, str] | None = None,
        base: type | None = None,
        factories: Iterable[str] = (),
        other_names: Iterable[str] = (),
    ) -> None:
        self.kind = kind
        self.base = base
        self.other_names = tuple(other_names)
        self.entries = dict(entries)
        self._factories = [self.entries[name] for name in factories]
        for alias, name in (aliases or {}).items():
            self.entries[alias] = self.entries[name]

    def get(self, identifier: Any) -> Any:
        """Return the object that `identifier` names.

        Parameters
        ----------
        identifier : str, dict, class, callable or instance
            A name; a config ``{'class_name': name, 'config': {...}}``; a class or a factory,
            which is called without arguments; anything else of this kind is returned as it is.

        Raises
        ------
        ValueError
            If a name is unknown.
        WrongKind
            If `identifier` is none of these.
        """
        if isinstance(identifier, (str, Mapping)):
            return self.deserialize(identifier)
        identifier = self._made(identifier)
        if isinstance(identifier, self.base) if self.base else callable(identifier):
            return identifier
        wanted = f"an instance of {self.base.__name__}" if self.base else "a callable"
        raise WrongKind(
            f"Could not take {identifier!r} as {self.kind}: expected a name, a config dict, "
            f"a class or {wanted}, got {type(identifier).__name__}."
        )

    def lookup(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Return the class or function called `name`: custom objects first, then the table."""
        for table in (custom_objects or {}, _custom_objects, self.entries):
            if name in table:
                return table[name]
        known = {*self.entries, *self.other_names, *_custom_objects, *(custom_objects or {})}
        raise ValueError(
            f"{unknown_name_message(self.kind, name, known)} One of your own is passed itself, or "
            "made known by its name in custom_objects."
        )

    def _checked(self, made: Any, config: Any) -> Any:
        """Return `made`, if it is of this kind: a custom object may be anything."""
        if self.base is not None and not isinstance(made, self.base):
            raise TypeError(
                f"{config!r} was to name one {self.kind}, an instance of {self.base.__name__}, but "
                f"it made {made!r}."
            )
        return made

    def _made(self, found: Any) -> Any:
        """Call a class or a factory; return anything else as it is."""
        if isinstance(found, type) or any(found is factory for factory in self._factories):
            return found()
        return found

    def serialize(self, obj: Any) -> Any:
        """Return what `deserialize` needs to make `obj` again; None for None.

        Raises
        ------
        ValueError
            If `obj` has neither a config nor a name.
        """
        return serialize_keras_object(obj)

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Make an object from its name or its config.

        Parameters
        ----------
        config : str or dict
            What `serialize` returned.
        custom_objects : dict, optional
            Names that are known in this call only.
        """
        if isinstance(config, str):
            return self._checked(self._made(self.lookup(config, custom_objects)), config)
        if not (
            isinstance(config, Mapping)
            and isinstance(config.get("class_name"), str)
            and isinstance(config.get("config"), Mapping)
        ):
            raise ValueError(
                f"A config of {self.kind} is a name or a dict with the keys 'class_name' (a name) "
                f"and 'config' (a dict); got {config!r}."
            )
        found = self.lookup(config["class_name"], custom_objects)
        return self._checked(_from_config(found, config["config"], custom_objects), config)


def _from_config(
    found: Any, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None
) -> Any:
    """Make an object of a class, or call a function with its keyword arguments."""
    if not hasattr(found, "from_config"):
        return found(**config)
    if custom_objects:
        with CustomObjectScope(custom_objects):
            return found.from_config(dict(config))
    return found.from_config(dict(config))


def serialize_keras_object(instance: Any) -> Any:
    """Return a config dict for an object that has one, the name of a function, None for None.

    Raises
    ------
    ValueError
        If `instance` has neither ``get_config`` nor ``__name__``.
    """
    if instance is None:
        return None
    if hasattr(instance, "get_config") and not isinstance(instance, type):
        return {"class_name": type(instance).__name__, "config": instance.get_config()}
    if hasattr(instance, "__name__"):
        return instance.__name__
    raise ValueError(
        f"Cannot serialize {instance!r}: it has neither a 'get_config' method nor a name."
    )


def deserialize_keras_object(
    identifier: Any,
    module_objects: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """Make an object from a name or config, looking in `module_objects` and custom objects.

    Parameters
    ----------
    identifier : str or dict
        A name, or ``{'class_name': name, 'config': {...}}``.
    module_objects, custom_objects : dict, optional
        Name to class or function.
    printable_module_name : str
        What is being looked for, for error messages.
    """
    registry = Registry(printable_module_name, module_objects or {})
    return registry.deserialize(identifier, custom_objects)


def has_arg(fn: Callable, name: str, accept_all: bool = False) -> bool:
    """Return whether `fn` can be called with the keyword `name`.

    Parameters
    ----------
    fn : callable
    name : str
    accept_all : bool
        What to answer for a function that takes ``**kwargs``. Default False.
    """
    import inspect

    try:
        parameters = inspect.signature(fn).parameters
    except ValueError:  # some functions written in C do not tell
        return False
    if name in parameters:
        kind = parameters[name].kind
        return kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return accept_all and any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
