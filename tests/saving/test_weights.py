import h5py
import numpy as np
import pytest

import minikeras as keras
from minikeras.layers import (
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Lambda,
    TimeDistributed,
)
from minikeras.saving.weights import ordered


def small(*names, units=3):
    """A model of two layers with weights and one without."""
    first, second = names or ("first", "second")
    return keras.Sequential(
        [
            Dense(4, input_dim=2, name=first),
            Dropout(0.5, name="between"),
            Dense(units, name=second, bias_initializer="ones"),
        ]
    )


def same(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def unchanged(model, call, error, match):
    """Check that a call raises and leaves the model as it was."""
    before = model.get_weights()
    with pytest.raises(error, match=match):
        call()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_come_back(tmp_path):
    model, other = small(), small("a", "b")
    model.save_weights(tmp_path / "w.h5")
    assert not same(model, other)
    other.load_weights(tmp_path / "w.h5")
    assert same(model, other)


def test_the_layout_is_that_of_keras(tmp_path):
    model = small()
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"first", b"between", b"second"]
        assert file.attrs["keras_version"] == "2.2.4"
        assert file.attrs["backend"] == "tensorflow"
        for name in ("keras_version", "backend"):  # bytes, not text, to an old h5py
            assert file.attrs.get_id(name).get_type().get_cset() == h5py.h5t.CSET_ASCII
        assert set(file) == {"first", "between", "second"}
        names = file["first"].attrs["weight_names"].tolist()
        assert names == [b"first/kernel:0", b"first/bias:0"]
        assert file["between"].attrs["weight_names"].shape == (0,)
        kernel = file["first/first/kernel:0"]
        assert np.array_equal(kernel[()], model.get_weights()[0])
        assert kernel.dtype == np.float32
        assert kernel.chunks is None


def test_equal_models_make_equal_files(tmp_path):
    model = small()
    for name in ("a", "b"):
        model.save_weights(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_a_whole_model_are_found(tmp_path):
    model, other = small(), small()
    model.save(tmp_path / "m.h5")
    other.load_weights(tmp_path / "m.h5")
    assert same(model, other)


def test_an_open_group(tmp_path):
    model, other = small(), small()
    with h5py.File(tmp_path / "w.h5", "w") as file:
        model.save_weights(file.create_group("inner"))
        other.load_weights(file["inner"])
    assert same(model, other)


def test_nan_and_infinity_come_back(tmp_path):
    model, other = small(), small()
    model.layers[0].set_weights([np.full((2, 4), np.nan), np.full(4, -np.inf)])
    model.save_weights(tmp_path / "w.h5")
    other.load_weights(tmp_path / "w.h5")
    assert same(model, other)


def test_many_layers_need_several_attributes(tmp_path):
    def deep():
        layers = [Dense(1, input_dim=1, name="in" + "x" * 700)]
        layers += [Dense(1, name=f"{i:03d}" + "x" * 700) for i in range(100)]
        return keras.Sequential(layers)

    model, other = deep(), deep()
    model.set_weights([np.random.normal(size=w.shape) for w in model.weights])
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert "layer_names0" in file["model_weights"].attrs
        assert "layer_names1" in file["model_weights"].attrs
    other.load_weights(tmp_path / "m.h5")
    assert same(model, other)
    model.save_weights(tmp_path / "w.h5")
    other.load_weights(tmp_path / "w.h5", by_name=True)
    assert same(model, other)


def test_equal_weight_names_are_told_apart(tmp_path):
    class Twice(keras.layers.Layer):
        def build(self, input_shape):
            self.add_weight("w", (2,))
            self.add_weight("w", (2,))

        def call(self, x):
            return x

    model, other = (keras.Sequential([Twice(input_shape=(2,), name="t")]) for _ in range(2))
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["t"].attrs["weight_names"].tolist() == [b"t/w:0", b"t/w:0_1"]
    other.load_weights(tmp_path / "w.h5")
    assert same(model, other)


def test_a_layer_used_twice_is_written_once(tmp_path):
    def twice():
        layer = Dense(2, input_dim=2, name="shared")
        return keras.Sequential([layer, layer])

    model, other = twice(), twice()
    model.save_weights(tmp_path / "w.h5")
    other.load_weights(tmp_path / "w.h5")
    assert same(model, other)


@pytest.mark.parametrize("name", ["a//b", "..", "/a", "a\0b"])
def test_names_that_hdf5_can_not_hold_are_refused(tmp_path, name):
    model = keras.Sequential([Dense(1, input_dim=1, name=name)])
    with pytest.raises(ValueError, match="can't be the name of a layer"):
        model.save_weights(tmp_path / "w.h5")
    assert not list(tmp_path.iterdir())


def test_names_with_slashes_are_fine(tmp_path):
    model, other = small("block/a", "block/b"), small("block/a", "block/b")
    model.save_weights(tmp_path / "w.h5")
    other.load_weights(tmp_path / "w.h5", by_name=True)
    assert same(model, other)


def test_a_model_that_is_not_built_has_none(tmp_path):
    model = keras.Sequential([Dense(1)])
    small().save_weights(tmp_path / "w.h5")
    for call in (model.save_weights, model.load_weights, model.save):
        with pytest.raises(ValueError, match="has no weights yet: its input shape is not known"):
            call(tmp_path / "w.h5")
    small().load_weights(tmp_path / "w.h5")


# What does not fit


def test_another_number_of_layers(tmp_path):
    small().save_weights(tmp_path / "w.h5")
    model = keras.Sequential([Dense(4, input_dim=2, name="first")])
    unchanged(
        model,
        lambda: model.load_weights(tmp_path / "w.h5"),
        ValueError,
        r"w.h5': It holds weights of 2 layers, the model has 1 .*'first', 'second'.* 'first'\.",
    )


def test_another_shape_changes_nothing_at_all(tmp_path):
    small().save_weights(tmp_path / "w.h5")
    model = small("first", "other", units=5)
    unchanged(
        model,
        lambda: model.load_weights(tmp_path / "w.h5"),
        ValueError,
        r"Weight 'other/kernel:0' of layer 'other' \(in the file 'second'\) has shape \(4, 5\), "
        r"but 'second/kernel:0' in the file has shape \(4, 3\)",
    )


def test_another_number_of_weights(tmp_path):
    small().save_weights(tmp_path / "w.h5")
    model = keras.Sequential([Dense(4, input_dim=2), Dense(3, use_bias=False, name="second")])
    unchanged(
        model,
        lambda: model.load_weights(tmp_path / "w.h5"),
        ValueError,
        r"Layer 'second' has 1 weights \(second/kernel:0 \(4, 3\)\), but the file holds 2",
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.attrs.__delitem__("layer_names"), "has no 'layer_names'"),
        (lambda f: f.__delitem__("second"), "'second' is missing in '/'"),
        (lambda f: f["second"].attrs.__delitem__("weight_names"), "no attribute 'weight_names'"),
        (lambda f: f.__delitem__("second/second/bias:0"), "'second/bias:0' is missing"),
        (lambda f: f.move("second", "moved") or f.__setitem__("second", h5py.SoftLink("/moved")),
         "link to another place"),
        (lambda f: f.attrs.__setitem__("layer_names", np.array([b"first", b"../x"])), "can't be"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_name", [False, True])
def test_damaged_files_change_nothing(tmp_path, damage, message, by_name):
    small().save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        damage(file)
    model = small()
    unchanged(model, lambda: model.load_weights(tmp_path / "w.h5", by_name), ValueError, message)


def test_text_in_place_of_numbers(tmp_path):
    small().save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        del file["second/second/bias:0"]
        file["second/second/bias:0"] = np.array([b"a", b"b", b"c"])
    model = small()
    unchanged(
        model, lambda: model.load_weights(tmp_path / "w.h5"), ValueError, "should hold numbers"
    )


# By name


def test_by_name_other_layers_stay_as_they_are(tmp_path):
    source, model = small("first", "x"), small("y", "first")
    model = keras.Sequential([Dense(2, input_dim=2, name="new"), Dense(4, name="first")])
    before = model.layers[0].get_weights()
    source.save_weights(tmp_path / "w.h5")
    model.load_weights(tmp_path / "w.h5", by_name=True)
    for have, want in zip(
        model.get_weights(), before + source.layers[0].get_weights(), strict=True
    ):
        assert np.array_equal(have, want)


def test_by_name_without_a_common_name_warns(tmp_path):
    small("a", "b").save_weights(tmp_path / "w.h5")
    model = keras.Sequential([Dense(4, input_dim=2, name="first")])
    with pytest.warns(UserWarning, match="No weights were loaded.*'a', .*'first'") as seen:
        model.load_weights(tmp_path / "w.h5", by_name=True)
    assert seen[0].filename == __file__


def test_skip_mismatch_leaves_out_a_shape_and_a_number(tmp_path):
    source = small()
    source.save_weights(tmp_path / "w.h5")
    model = small(units=5)
    unchanged(
        model,
        lambda: model.load_weights(tmp_path / "w.h5", by_name=True),
        ValueError,
        r"'second' has shape \(4, 5\)",
    )
    before = model.get_weights()
    with pytest.warns(UserWarning, match="Not loaded: weight 'second/") as seen:
        model.load_weights(tmp_path / "w.h5", by_name=True, skip_mismatch=True)
    assert len(seen) == 2
    assert seen[0].filename == __file__
    want = [*source.get_weights()[:2], *before[2:]]
    for have, wanted in zip(model.get_weights(), want, strict=True):
        assert np.array_equal(have, wanted)
    model = keras.Sequential([Dense(4, input_dim=2, use_bias=False, name="first")])
    with pytest.warns(UserWarning, match="layer 'first' has 1 weights"):
        model.load_weights(tmp_path / "w.h5", by_name=True, skip_mismatch=True)


def test_skip_mismatch_needs_names(tmp_path):
    small().save_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="needs by_name=True"):
        small().load_weights(tmp_path / "w.h5", skip_mismatch=True)


@pytest.mark.parametrize("by_name", [False, True])
def test_reshape_takes_a_kernel_of_the_same_size(tmp_path, by_name):
    def make(window, layer=Conv2D):
        return keras.Sequential([layer(2, window, input_shape=(4, 4, 3), name="conv"), Flatten()])

    source, model = make((1, 2)), make((2, 1))
    source.save_weights(tmp_path / "w.h5")
    unchanged(
        model,
        lambda: model.load_weights(tmp_path / "w.h5", by_name),
        ValueError,
        r"has shape \(2, 1, 3, 2\), but 'conv/kernel:0' in the file has shape \(1, 2, 3, 2\)",
    )
    model.load_weights(tmp_path / "w.h5", by_name, reshape=True)
    want = source.get_weights()[0].reshape(2, 1, 3, 2)
    assert np.array_equal(model.get_weights()[0], want)
    larger = make((2, 2))
    unchanged(
        larger,
        lambda: larger.load_weights(tmp_path / "w.h5", by_name, reshape=True),
        ValueError,
        "has shape",
    )


def test_reshape_leaves_the_bias_of_a_convolution_alone(tmp_path):
    model = keras.Sequential([Conv2D(2, 1, input_shape=(4, 4, 3), name="conv"), Flatten()])
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        del file["conv/conv/bias:0"]
        file["conv/conv/bias:0"] = np.zeros((1, 2))
    with pytest.raises(ValueError, match=r"'conv/bias:0' .* has shape \(2,\)"):
        model.load_weights(tmp_path / "w.h5", reshape=True)


def test_reshape_leaves_other_layers_alone(tmp_path):
    keras.Sequential([Dense(2, input_dim=3, use_bias=False)]).save_weights(tmp_path / "w.h5")
    model = keras.Sequential([Dense(3, input_dim=2, use_bias=False)])
    with pytest.raises(ValueError, match="has shape"):
        model.load_weights(tmp_path / "w.h5", reshape=True)


# The order of weights


def nested():
    inner = keras.Sequential(
        [BatchNormalization(input_shape=(2,), name="a"), BatchNormalization(name="b")],
        name="inner",
    )
    return keras.Sequential([inner, Dense(1, name="out")])


def fill(model):
    for number, weight in enumerate(model.layers[0].layers[0].weights):
        weight.assign(np.full(weight.shape, number))
    for number, weight in enumerate(model.layers[0].layers[1].weights):
        weight.assign(np.full(weight.shape, 10 + number))


def test_a_nested_model_is_written_as_one_layer_trainable_weights_first(tmp_path):
    model = nested()
    names = [weight.name for weight in ordered(model.layers[0])]
    ahead = ["a/gamma:0", "a/beta:0", "b/gamma:0", "b/beta:0"]
    assert names[:4] == ahead
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"inner", b"out"]
        assert [n.decode() for n in file["inner"].attrs["weight_names"]] == names
    model.layers[0].trainable = False  # which its configuration does not tell
    assert [weight.name for weight in ordered(model.layers[0])] == names


def by_name(model):
    """The order of get_weights changes with what is frozen, as in Keras."""
    return {weight.name: weight.value.tolist() for weight in model.weights}


@pytest.mark.parametrize("freeze", ["inner layer", "inner model", "nothing"])
def test_freezing_does_not_mix_weights_up(tmp_path, freeze):
    model, other = nested(), nested()
    fill(model)
    model.save_weights(tmp_path / "w.h5")
    if freeze == "inner layer":
        other.layers[0].layers[0].trainable = False
    elif freeze == "inner model":
        other.layers[0].trainable = False
    expected = by_name(model)
    other.load_weights(tmp_path / "w.h5")
    assert by_name(other) == expected
    other.save_weights(tmp_path / "v.h5")
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    model.load_weights(tmp_path / "v.h5")
    assert by_name(model) == expected


def test_parts_of_wrappers_come_back(tmp_path):
    def make():
        inner = keras.Sequential([Dense(3, input_dim=2), BatchNormalization()])
        return keras.Sequential(
            [
                TimeDistributed(inner, input_shape=(4, 2)),
                Bidirectional(LSTM(2, return_sequences=True)),
                TimeDistributed(Dense(2)),
                Lambda(abs),
            ]
        )

    model, other = make(), make()
    model.set_weights([np.random.normal(size=w.shape) for w in model.get_weights()])
    model.save_weights(tmp_path / "w.h5")
    other.load_weights(tmp_path / "w.h5")
    assert same(model, other)


@pytest.mark.parametrize("by_name", [False, True])
def test_kernels_of_theano_are_refused(by_name, tmp_path):
    def make():
        return keras.Sequential([Conv2D(1, 2, input_shape=(3, 3, 1), name="conv"), Flatten()])

    make().save_weights(tmp_path / "w.h5")
    small().save_weights(tmp_path / "dense.h5")
    for name in ("w.h5", "dense.h5"):
        with h5py.File(tmp_path / name, "r+") as file:
            file.attrs["backend"] = b"theano"
    with pytest.raises(ValueError, match=r"Theano, .* \(layers conv\) upside down"):
        make().load_weights(tmp_path / "w.h5", by_name=by_name)
    small().load_weights(tmp_path / "dense.h5", by_name=by_name)
