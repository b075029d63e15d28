"""Run a Keras script as it is: ``python -m minikeras script.py [arguments]``.

In that process, ``import keras`` and ``from keras.layers import Dense`` mean minikeras, whether
or not Keras is installed.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType


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
                f"minikeras has no module for '{spec.name}'.", name=spec.name
            ) from None
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Undo what the import system has changed; the module has been run already."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def main(arguments: Sequence[str]) -> None:
    """Run the script named first in `arguments`, with the others as its own."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m minikeras script.py [arguments]\n\n" + (__doc__ or ""))
        raise SystemExit(0 if arguments else 2)
    if not os.path.isfile(arguments[0]):
        raise SystemExit(f"python -m minikeras: there is no file {arguments[0]!r}")
    sys.meta_path.insert(0, KerasFinder())
    sys.argv = list(arguments)
    sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
