"""Run a Keras script as it is: ``python -m minikeras script.py [arguments]``.

In that process, ``import keras`` and ``from keras.layers import Dense`` mean minikeras, whether
or not Keras is installed. So they do in the processes that the script starts with
`multiprocessing`, whatever the start method.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

# Tells child processes the path of the script.
SCRIPT = "MINIKERAS_SCRIPT"


# What scripts import that is not there, and why.
_MISSING = {
    "keras.applications": "It has no trained models.",
    "keras.backend.tensorflow_backend": "There is no TensorFlow beneath; use keras.backend.",
    "keras.layers.merge": "Layers are put together in a Sequential only; see keras.layers.add.",
    "keras.legacy": "The names of Keras 1 are not known.",
    "keras.preprocessing.image": "It is not there yet; a keras.utils.Sequence can load images.",
    "keras.preprocessing.text": "It is not there yet.",
    "keras.wrappers": "The wrappers for scikit-learn are not there yet.",
}


def _hint(name: str) -> str:
    """Say what is known of a module of Keras that is not there."""
    for known, why in _MISSING.items():
        if name == known or name.startswith(known + "."):
            return f" {why}"
    return ""


class KerasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``keras`` and its submodules in minikeras."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for names in ``keras`` only."""
        if fullname.partition(".")[0] != "keras":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return the module of minikeras that stands at the same place."""
        own_name = "minikeras" + spec.name.removeprefix("keras")
        try:
            module = importlib.import_module(own_name)
        except ModuleNotFoundError as error:
            if error.name != own_name:
                raise
            raise ModuleNotFoundError(
                f"minikeras has no module for '{spec.name}'.{_hint(spec.name)}", name=spec.name
            ) from None
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Undo what the import system has changed; the module has been run already."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state
        if module.__spec__.submodule_search_locations is None and hasattr(module, "__path__"):
            del module.__path__


def run_script(path: str, run_name: str) -> ModuleType:
    """Run a file as the module `run_name`, in which ``import keras`` means minikeras.

    Processes that `multiprocessing` starts afresh import the main module again, by its name if
    its spec has one. The name of this package makes them run this file, as ``__mp_main__``.
    """
    if not any(isinstance(finder, KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, KerasFinder())
    module = ModuleType(run_name)
    module.__file__ = path
    module.__spec__ = importlib.machinery.ModuleSpec("minikeras", None)
    module.__dict__["__builtins__"] = __builtins__
    sys.modules[run_name] = module
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def main(arguments: Sequence[str]) -> None:
    """Run the script named first in `arguments`, with the others as its own."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m minikeras script.py [arguments]\n\n" + (__doc__ or ""))
        raise SystemExit(0 if arguments else 2)
    if not os.path.isfile(arguments[0]):
        raise SystemExit(f"python -m minikeras: there is no file {arguments[0]!r}")
    script = os.path.abspath(arguments[0])
    sys.argv = list(arguments)
    if getattr(sys.flags, "safe_path", False):  # then the first entry is somebody else's
        sys.path.insert(0, os.path.dirname(script))
    else:
        sys.path[0] = os.path.dirname(script)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if root not in sys.path:  # python -m may have found minikeras in the working directory only
        sys.path.append(root)
    os.environ[SCRIPT] = script
    run_script(script, "__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
elif __name__ == "__mp_main__":
    globals().update(vars(run_script(os.environ[SCRIPT], "__mp_main__")))
