import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minikeras.backend.rows import RowGradient


@given(st.sets(st.integers(0, 9)), st.integers(1, 10))
def test_parts_make_up_the_whole(rows, height):
    rows = np.array(sorted(rows), np.intp)
    gradient = RowGradient(rows, np.arange(2.0 * len(rows)).reshape(-1, 2) + 1)
    whole = gradient.write_to(np.full((10, 2), np.nan))
    assert np.array_equal(whole[rows], gradient.values)
    assert np.count_nonzero(whole) == 2 * len(rows)
    for start in range(0, 10, height):
        stop = min(start + height, 10)
        part = gradient.between(start, stop)
        assert np.shares_memory(part.values, gradient.values) or not part.values.size
        target = np.full((stop - start, 2), np.nan)
        assert np.array_equal(part.write_to(target), whole[start:stop])
