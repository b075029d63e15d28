import numpy as np
import pytest

from minikeras import backend as K
from minikeras.engine import Context, Workspace
from minikeras.layers import Dense, Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D
from minikeras.models import Sequential

from .checks import check_layer, run, sample, twin

RATES = [0, 0.1, 0.5, 0.75, 0.9]
SPATIAL = [(SpatialDropout1D, (3, 4, 5)), (SpatialDropout2D, (3, 2, 4, 5))]
SPATIAL += [(SpatialDropout3D, (2, 2, 3, 2, 5))]


def ones(*shape):
    return np.ones(shape, "float32")


# Dropout


@pytest.mark.parametrize("rate", [0, 0.3, 0.5])
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4), (2, 3, 2, 2)], ids=str)
def test_does_what_every_layer_does(rate, shape):
    check_layer(Dropout(rate), shape)


@pytest.mark.parametrize("noise_shape", [(None, 1, 4), (None, 3, 1), (1, None, None), [None] * 3])
def test_noise_shape_does_what_every_layer_does(noise_shape):
    check_layer(Dropout(0.4, noise_shape=noise_shape), (2, 3, 4))


@pytest.mark.parametrize("rate", RATES)
def test_share_and_scale_of_what_is_kept(rate):
    y, dx, _ = run(Dropout(rate), ones(200, 200), dy=ones(200, 200), training=True)
    kept = y != 0
    # Five standard deviations of the share among 40000 entries.
    assert abs(kept.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / 40000)
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    np.testing.assert_array_equal(dx, y)


def test_gradient_passes_where_the_input_passed():
    x, dy = sample((50, 40)), sample((50, 40), seed=2)
    y, dx, _ = run(Dropout(0.3), x, dy=dy, training=True)
    np.testing.assert_array_equal(dx == 0, y == 0)
    np.testing.assert_allclose(dx[y != 0], dy[y != 0] / 0.7, rtol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_does_nothing_outside_training(rate):
    x = sample((4, 5))
    y, dx, _ = run(Dropout(rate, seed=1), x, dy=x, training=False)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, x)


def test_rate_zero_does_nothing_in_training():
    x = sample((4, 5))
    np.testing.assert_array_equal(run(Dropout(0), x, training=True)[0], x)


@pytest.mark.parametrize(
    ("noise_shape", "axis"), [((None, 1, 6), 1), ((None, 5, 1), 2), ((1, 5, 6), 0)]
)
def test_noise_shape_shares_decisions_along_its_ones(noise_shape, axis):
    y = Dropout(0.5, noise_shape=noise_shape)(ones(4, 5, 6), training=True)
    first = y.take([0], axis=axis)
    np.testing.assert_array_equal(y, np.broadcast_to(first, y.shape))
    assert set(np.unique(first)) == {0.0, 2.0}


def test_decisions_differ_along_the_other_axes():
    y = Dropout(0.5, noise_shape=(None, 1, None))(ones(20, 5, 20), training=True)[:, 0]
    assert len(np.unique(y, axis=0)) == 20
    assert len(np.unique(y, axis=1)[0]) == 20


def test_seed_repeats_a_run_and_not_a_pass():
    x = ones(10, 10)
    first, second = Dropout(0.5, seed=7), Dropout(0.5, seed=7)
    passes = [first(x, training=True) for _ in range(3)]
    np.random.seed(99)
    for y in passes:
        np.testing.assert_array_equal(second(x, training=True), y)
    assert not np.array_equal(passes[0], passes[1])
    assert not np.array_equal(Dropout(0.5, seed=8)(x, training=True), passes[0])


def test_a_layer_made_from_the_config_starts_its_seed_anew():
    layer = Dropout(0.5, seed=3)
    first = layer(ones(10, 10), training=True)
    layer(ones(10, 10), training=True)
    np.testing.assert_array_equal(twin(layer)(ones(10, 10), training=True), first)


def test_numpys_seed_repeats_a_run():
    layer = Dropout(0.5)
    runs = []
    for _ in range(2):
        np.random.seed(5)
        runs.append([layer(ones(10, 10), training=True) for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_layers_of_one_pass_drop_differently():
    model = Sequential([Dropout(0.5, input_shape=(1000,)), Dropout(0.5)])
    ctx = Context(training=True)
    _, (first, second) = model.propagate(ones(1, 1000), ctx)
    agreement = (first == second).mean()
    assert 0.4 < agreement < 0.6


def test_allocates_nothing_in_the_steady_state():
    layer, workspace = Dropout(0.5), Workspace()
    x = ones(8, 16)
    results = []
    for _ in range(2):
        workspace.begin("train")
        y, residual = layer.propagate(x, Context(training=True, workspace=workspace))
        results.append((y, residual))
    assert results[0][0] is results[1][0]
    assert results[0][1] is results[1][1]


def test_training_sees_the_mask_and_prediction_does_not():
    model = Sequential([Dropout(0.5, input_shape=(50,), seed=1), Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    before = model.get_weights()[0].copy()
    np.testing.assert_allclose(model.predict(ones(1, 50)), [[before.sum()]], rtol=1e-4)
    model.train_on_batch(ones(1, 50), [[100.0]])
    unchanged = (model.get_weights()[0] == before).mean()
    assert 0.2 < unchanged < 0.8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(1), r"'dropout_1' \(Dropout\): rate must be a number from 0 .* got 1\."),
        (lambda: Dropout(-0.1), r"rate must be a number from 0 .* got -0\.1"),
        (lambda: Dropout(None), "rate must be a number from 0 .* got None"),
        (lambda: Dropout("half"), "rate must be a number from 0 .* got 'half'"),
        (lambda: Dropout(float("nan")), "rate must be a number from 0 .* got nan"),
        (lambda: Dropout(0.5, seed=-1), "seed must be None or an int of at least 0, got -1"),
        (lambda: Dropout(0.5, seed="x"), "seed must be None or an int of at least 0, got 'x'"),
        (lambda: Dropout(0.5, noise_shape=(None, 0)), "noise_shape must be an int greater than 0"),
    ],
)
def test_bad_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("noise_shape", "message"),
    [
        ((None, 1), r"'dropout_1' \(Dropout\): expected ndim=2 .* found ndim=3.*\(None, 3, 4\)"),
        ((None, 2, 1), r"expected axis 1 to have size 2, found 3"),
    ],
)
def test_noise_shape_must_fit_the_input(noise_shape, message):
    with pytest.raises(ValueError, match=message):
        Dropout(0.5, noise_shape=noise_shape)(ones(2, 3, 4), training=True)


# Spatial dropout


@pytest.mark.parametrize(("cls", "shape"), SPATIAL)
@pytest.mark.parametrize("rate", [0, 0.4])
def test_spatial_does_what_every_layer_does(cls, shape, rate):
    check_layer(cls(rate), shape)


@pytest.mark.parametrize(("cls", "shape"), SPATIAL[1:])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_spatial_with_a_data_format_does_what_every_layer_does(cls, shape, data_format):
    layer = check_layer(cls(0.4, data_format=data_format), shape)
    assert layer.get_config()["data_format"] == data_format


@pytest.mark.parametrize(
    ("cls", "shape", "arguments", "spatial"),
    [
        (SpatialDropout1D, (8, 5, 9), {}, (1,)),
        (SpatialDropout2D, (8, 3, 4, 9), {}, (1, 2)),
        (SpatialDropout2D, (8, 9, 3, 4), {"data_format": "channels_first"}, (2, 3)),
        (SpatialDropout3D, (8, 2, 3, 4, 9), {"data_format": "channels_last"}, (1, 2, 3)),
        (SpatialDropout3D, (8, 9, 2, 3, 4), {"data_format": "channels_first"}, (2, 3, 4)),
    ],
)
def test_spatial_drops_whole_maps(cls, shape, arguments, spatial):
    y = cls(0.5, **arguments)(np.ones(shape), training=True)
    np.testing.assert_array_equal(y.max(axis=spatial), y.min(axis=spatial))
    maps = y.max(axis=spatial)
    assert set(np.unique(maps)) == {0.0, 2.0}
    assert len(np.unique(maps, axis=0)) > 1


@pytest.mark.parametrize("cls", [SpatialDropout2D, SpatialDropout3D])
def test_spatial_follows_the_global_data_format(cls):
    assert cls(0.5).data_format == "channels_last"
    K.set_image_data_format("channels_first")
    assert cls(0.5).data_format == "channels_first"


def test_spatial_keeps_its_seed():
    layers = [SpatialDropout1D(0.5, seed=4) for _ in range(2)]
    a, b = (layer(ones(3, 2, 30), training=True) for layer in layers)
    np.testing.assert_array_equal(a, b)
    assert layers[0].get_config()["seed"] == 4
    assert "noise_shape" not in layers[0].get_config()


@pytest.mark.parametrize(("cls", "shape"), SPATIAL)
def test_spatial_needs_the_right_rank(cls, shape):
    with pytest.raises(ValueError, match=rf"\({cls.__name__}\): expected ndim={len(shape)} "):
        cls(0.5)(np.ones(shape[:-1]))


def test_spatial_refuses_what_it_can_not_do():
    with pytest.raises(TypeError, match="SpatialDropout1D takes no noise_shape"):
        SpatialDropout1D(0.5, noise_shape=(None, 1, 1))
    with pytest.raises(ValueError, match="data_format must be one of"):
        SpatialDropout2D(0.5, data_format="channels_middle")


@pytest.mark.parametrize(
    ("layer", "shape"), [(Dropout(0.5), (2, 3)), *[(c(0.5), s) for c, s in SPATIAL]], ids=repr
)
def test_hands_the_mask_on(layer, shape):
    mask = np.ones(shape[:2], bool)
    ctx = Context(training=True, mask=mask)
    layer.propagate(np.ones(shape, "float32"), ctx)
    assert ctx.mask is mask
