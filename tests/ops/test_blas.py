"""Who sets the number of OpenBLAS' threads, and that it is always set back."""

import os
import threading

import numpy as np
import pytest

from minikeras.ops import blas, parallel


def product(m, k, n, dtype="float32", transposed=False):
    """Multiply two matrices by `matmuls`, and return the result."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((n, k)).astype(dtype).T if transposed else None
    b = rng.standard_normal((k, n)).astype(dtype) if b is None else b
    out = np.empty((m, n), dtype)
    blas.matmuls([(a, b, out)])
    np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-4)
    return out


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (128, 784, 513), (783, 128, 512), (1, 9000, 1000), (600, 700, 600)]
)
def test_products_are_those_of_numpy_however_many_threads_there_are(shape, transposed, monkeypatch):
    results = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", threads)
        monkeypatch.setattr(parallel, "_helpers", None)
        with blas.one_thread():
            results.append(product(*shape, transposed=transposed))

    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("shape", "blocks"), [((10, 10, 10), 1), ((128, 784, 512), 2), ((784, 128, 512), 2)]
)
def test_large_products_are_cut_into_an_even_number_of_blocks(shape, blocks):
    m, k, n = shape
    cut = blas._cut(np.empty((m, k)), np.empty((k, n)), np.empty((m, n)))

    assert len(cut) == blocks
    assert sum(out.size for _, _, out in cut) == m * n


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
    with blas.one_thread():
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
        assert not blas._threads.limited
        assert np.array_equal(product(64, 4000, 64, "float64"), product(64, 4000, 64, "float64"))


def test_the_real_library_is_found_where_numpy_brings_it():
    config = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    found = blas._find_openblas()
    if "openblas" not in config or found is None:
        pytest.skip("NumPy does not bring its own OpenBLAS here")
    get_threads, _ = found

    with blas.one_thread():
        assert get_threads() == 1


def test_inside_of_another_it_leaves_all_as_it_is(library):
    with blas.one_thread():
        with blas.one_thread(inside=True):
            assert library.threads == 1
        assert library.threads == 1
    with blas.one_thread(inside=True):
        assert library.threads == 1
    assert library.threads == 4


def test_an_interrupted_pass_is_made_good_by_the_next(library):
    blas._threads.enter()  # and Ctrl-C comes before the end

    with blas.one_thread():
        assert library.threads == 1
    assert library.threads == 4

    blas._threads.enter()
    blas.restore()
    assert library.threads == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_in_the_middle_of_a_pass_starts_anew(library):
    with blas.one_thread(), blas._threads._lock:
        child = os.fork()
        if child == 0:
            ok = library.threads == 4
            with blas.one_thread():
                ok = ok and library.threads == 1
            os._exit(0 if ok and library.threads == 4 else 1)
        assert os.waitpid(child, 0)[1] == 0
