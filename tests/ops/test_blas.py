"""Who sets the number of OpenBLAS' threads, and that it is always set back."""

import threading

import numpy as np
import pytest

from minikeras.ops import blas


@pytest.fixture
def library(monkeypatch):
    """A library with four threads, in place of the real one."""

    class Library:
        threads = 4

        def get(self):
            return self.threads

        def set(self, count):
            self.threads = count

    library = Library()
    monkeypatch.setattr(blas, "_threads", blas._Threads())
    monkeypatch.setattr(blas, "_find_openblas", lambda: (library.get, library.set))
    return library


def test_one_thread_inside_and_the_old_number_outside(library):
    assert blas.may_spin()
    with blas.one_thread():
        assert library.threads == 1
        assert not blas.may_spin()
        with blas.one_thread():
            assert library.threads == 1
        assert library.threads == 1
    assert library.threads == 4


def test_the_old_number_comes_back_after_an_error(library):
    with pytest.raises(KeyError), blas.one_thread():
        raise KeyError

    assert library.threads == 4


def test_the_last_of_several_threads_sets_it_back(library):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with blas.one_thread():
            entered.set()
            leave.wait(10)

    with blas.one_thread():
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(10)
    assert library.threads == 1
    leave.set()
    thread.join()
    assert library.threads == 4


def test_a_number_that_the_user_has_changed_is_the_one_that_comes_back(library):
    with blas.one_thread():
        pass
    library.threads = 3

    with blas.one_thread():
        assert library.threads == 1
    assert library.threads == 3


def test_without_openblas_nothing_happens(monkeypatch):
    monkeypatch.setattr(blas, "_threads", blas._Threads())
    monkeypatch.setattr(blas, "_find_openblas", lambda: None)

    with blas.one_thread():
        assert not blas.may_spin()


def test_the_real_library_is_found_where_numpy_brings_it():
    config = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    found = blas._find_openblas()
    if "openblas" not in config or found is None:
        pytest.skip("NumPy does not bring its own OpenBLAS here")
    get_threads, _ = found

    with blas.one_thread():
        assert get_threads() == 1
