import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.utils.conv_utils import (
    conv_input_length,
    conv_output_length,
    conv_padding,
    convert_kernel,
    deconv_length,
    normalize_padding,
    normalize_tuple,
)

small = st.integers(1, 6)
lengths = st.integers(1, 30)


def places(length, window, stride, dilation):
    """Count by trying where a window starts and still ends inside."""
    return sum(start + (window - 1) * dilation < length for start in range(0, length, stride))


# normalize_tuple, normalize_padding


@pytest.mark.parametrize(
    ("value", "n", "result"),
    [
        (3, 2, (3, 3)),
        (np.int64(3), 1, (3,)),
        ((1, 2), 2, (1, 2)),
        ([1, 2, 3], 3, (1, 2, 3)),
        (np.array([4, 5]), 2, (4, 5)),
        (0, 1, (0,)),
    ],
)
def test_normalize_tuple(value, n, result):
    numbers = normalize_tuple(value, n, "strides")
    assert numbers == result
    assert {type(number) for number in numbers} == {int}


@pytest.mark.parametrize(
    "value", [None, 1.5, 2.0, "33", True, (1,), (1, 2, 3), (1, 2.0), (1, None), [[1, 2]]]
)
def test_normalize_tuple_refuses(value):
    with pytest.raises(ValueError, match="strides must be an int or a tuple of 2 ints, got"):
        normalize_tuple(value, 2, "strides")


@pytest.mark.parametrize("value", ["valid", "SAME", "Causal"])
def test_normalize_padding(value):
    assert normalize_padding(value) == value.lower()


@pytest.mark.parametrize("value", ["full", "", None, 1, ["same"]])
def test_normalize_padding_refuses(value):
    with pytest.raises(ValueError, match="padding must be 'valid', 'same' or, for Conv1D only"):
        normalize_padding(value)


# Lengths


@given(lengths, small, small, small)
def test_valid_output_length_counts_places(length, window, stride, dilation):
    expected = places(length, window, stride, dilation)
    assert conv_output_length(length, window, "valid", stride, dilation) == expected


@given(lengths, small, small, small)
def test_same_and_causal_go_by_the_stride_alone(length, window, stride, dilation):
    for padding in ("same", "causal"):
        assert conv_output_length(length, window, padding, stride, dilation) == len(
            range(0, length, stride)
        )


@given(lengths, small, small, small)
def test_full_has_all_places_that_touch_the_input(length, window, stride, dilation):
    around = length + 2 * (window - 1) * dilation
    expected = places(around, window, stride, dilation)
    assert conv_output_length(length, window, "full", stride, dilation) == expected


@given(lengths, small, small, small, st.sampled_from(["valid", "same", "causal"]))
def test_padding_and_length_belong_together(length, window, stride, dilation, padding):
    before, after = conv_padding(length, window, padding, stride, dilation)
    assert min(before, after) >= 0
    count = places(before + length + after, window, stride, dilation)
    assert count == conv_output_length(length, window, padding, stride, dilation)
    if padding == "same":
        assert after - before in (0, 1)  # the larger half comes last
        assert before + after <= (window - 1) * dilation
        if before + after:  # and there are no more zeros than needed
            assert places(before + length + after - 1, window, stride, dilation) < count


@pytest.mark.parametrize(
    ("length", "window", "padding", "stride", "dilation", "result"),
    [
        (10, 3, "same", 1, 1, (1, 1)),
        (10, 4, "same", 1, 1, (1, 2)),
        (10, 2, "same", 1, 1, (0, 1)),
        (10, 3, "same", 2, 1, (0, 1)),
        (9, 3, "same", 2, 1, (1, 1)),
        (10, 1, "same", 3, 1, (0, 0)),
        (10, 3, "same", 1, 2, (2, 2)),
        (2, 5, "same", 1, 1, (2, 2)),
        (10, 3, "valid", 2, 1, (0, 0)),
        (10, 3, "causal", 2, 1, (2, 0)),
        (10, 3, "causal", 1, 4, (8, 0)),
    ],
)
def test_padding_by_hand(length, window, padding, stride, dilation, result):
    assert conv_padding(length, window, padding, stride, dilation) == result


@given(lengths, small, small)
def test_input_length_is_the_shortest(length, window, stride):
    shortest = conv_input_length(length, window, "valid", stride)
    assert places(shortest, window, stride, 1) == length
    assert places(shortest - 1, window, stride, 1) < length


@pytest.mark.parametrize(
    ("length", "window", "padding", "stride", "result"),
    [(5, 3, "same", 1, 5), (5, 4, "same", 1, 4), (5, 3, "same", 2, 9), (5, 3, "full", 1, 3)],
)
def test_input_length_by_hand(length, window, padding, stride, result):
    assert conv_input_length(length, window, padding, stride) == result


@given(lengths, small, small, small, st.sampled_from(["valid", "same"]))
def test_a_convolution_leads_back_from_a_deconvolution(length, window, stride, dilation, padding):
    longer = deconv_length(length, stride, window, padding, None, dilation)
    assert conv_output_length(longer, window, padding, stride, dilation) == length


@given(lengths, small, small, st.integers(0, 5))
def test_so_it_does_with_output_padding_below_the_stride(length, window, stride, extra):
    longer = deconv_length(length, stride, window, "valid", extra)
    back = conv_output_length(longer, window, "valid", stride)
    assert (back == length) == (extra < stride)


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ((4, 2, 3, "same", None), 8),
        ((4, 2, 3, "valid", None), 9),
        ((4, 3, 2, "valid", None), 12),
        ((4, 2, 3, "full", None), 5),
        ((4, 1, 3, "valid", None, 2), 8),
        ((4, 2, 3, "same", 0), 7),
        ((4, 2, 3, "same", 1), 8),
        ((4, 2, 4, "same", 1), 7),
        ((4, 2, 3, "valid", 1), 10),
        ((4, 2, 3, "full", 1), 6),
    ],
)
def test_deconv_length_by_hand(arguments, result):
    assert deconv_length(*arguments) == result


def test_what_is_unknown_stays_unknown():
    assert conv_output_length(None, 3, "valid", 1) is None
    assert conv_input_length(None, 3, "valid", 1) is None
    assert deconv_length(None, 2, 3, "valid", 1) is None


def test_a_window_that_does_not_fit_has_no_place():
    assert conv_output_length(2, 3, "valid", 1) == 0
    assert conv_output_length(2, 9, "valid", 2) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: conv_output_length(5, 3, "sme", 1),
        lambda: conv_output_length(None, 3, "sme", 1),
        lambda: conv_input_length(5, 3, "causal", 1),
        lambda: deconv_length(5, 3, 1, "causal", None),
        lambda: conv_padding(5, 3, "full", 1),
    ],
)
def test_unknown_padding(call):
    with pytest.raises(ValueError, match="padding must be one of .*; got"):
        call()


# convert_kernel


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convert_kernel_turns_the_window_around(rank):
    kernel = np.random.default_rng(0).normal(size=(*(2, 3, 4)[:rank], 2, 5))
    turned = convert_kernel(kernel)
    assert turned.flags.c_contiguous
    for tap in np.ndindex(kernel.shape[:-2]):
        opposite = tuple(n - 1 - t for n, t in zip(kernel.shape, tap, strict=False))
        np.testing.assert_array_equal(turned[tap], kernel[opposite])
    np.testing.assert_array_equal(convert_kernel(turned), kernel)


@pytest.mark.parametrize("shape", [(2, 3), (1,) * 6])
def test_convert_kernel_refuses(shape):
    with pytest.raises(ValueError, match="3 to 5 axes, got one of shape"):
        convert_kernel(np.zeros(shape))


@pytest.mark.parametrize("value", [(True, True), True, {4, 3}, b"33", "33", (3,), 2.0, None])
def test_what_is_no_size(value):
    with pytest.raises(ValueError, match="kernel_size must be an int or a tuple of 2 ints, got"):
        normalize_tuple(value, 2, "kernel_size")
