import subprocess
import sys

import numpy as np
import pytest

from minikeras.utils.registry import (
    CustomObjectScope,
    Registry,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    has_arg,
    serialize_keras_object,
    unknown_name_message,
)


class Thing:
    def __init__(self, size=1):
        self.size = size

    def __call__(self):
        return self.size

    def get_config(self):
        return {"size": self.size}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Box(Thing):
    """Holds a thing that is known by name only."""

    def __init__(self, inner):
        super().__init__()
        self.inner = things.get(inner)

    def get_config(self):
        return {"inner": serialize_keras_object(self.inner)}


class Other:
    pass


def double(x):
    return 2 * x


def big(size=100):
    return Thing(size)


things = Registry(
    "thing", {"Thing": Thing, "Box": Box, "big": big}, {"item": "Thing"}, Thing, ["big"]
)
functions = Registry("function", {"double": double}, aliases={"twice": "double"})


@pytest.fixture(autouse=True)
def no_custom_objects():
    assert get_custom_objects() == {}
    yield
    get_custom_objects().clear()


# get


def test_get_by_name_calls_a_class_and_returns_a_function():
    assert isinstance(things.get("Thing"), Thing)
    assert isinstance(things.get("item"), Thing)
    assert things.get("Thing") is not things.get("Thing")
    assert functions.get("double") is double
    assert functions.get("twice") is double


def test_get_calls_a_factory():
    assert things.get("big").size == 100
    assert things.get(big).size == 100
    assert things.get({"class_name": "big", "config": {"size": 5}}).size == 5


def test_get_an_instance_a_class_or_a_callable():
    thing = Thing(3)
    assert things.get(thing) is thing
    assert things.get(Thing).size == 1
    assert functions.get(double) is double
    assert functions.get(len) is len


def test_get_by_config():
    assert things.get({"class_name": "Thing", "config": {"size": 7}}).size == 7
    assert things.get({"class_name": "item", "config": {}}).size == 1


@pytest.mark.parametrize("identifier", [None, 3, ["Thing"], double, Other, Other()])
def test_get_refuses_what_is_not_of_its_kind(identifier):
    with pytest.raises(TypeError, match=r"as thing: expected a name, .* an instance of Thing, got"):
        things.get(identifier)


@pytest.mark.parametrize("identifier", [None, 3, ["double"]])
def test_get_without_a_base_wants_a_callable(identifier):
    with pytest.raises(TypeError, match=r"as function: expected .* or a callable, got"):
        functions.get(identifier)


def test_an_alias_needs_a_name_that_exists():
    with pytest.raises(KeyError):
        Registry("thing", {"Thing": Thing}, {"item": "Thingy"})


# Unknown names


def test_unknown_name_lists_the_closest_and_all():
    with pytest.raises(ValueError, match=r"^Unknown thing 'thnig'. Did you mean 'Thing'?") as info:
        things.get("thnig")
    assert "Known: big, Box, item, Thing." in str(info.value)
    assert "custom_objects" in str(info.value)


def test_unknown_name_that_is_like_no_other():
    with pytest.raises(ValueError, match=r"^Unknown function 'q'\. Known: double, twice\. One"):
        functions.get("q")


def test_unknown_name_knows_custom_objects():
    with pytest.raises(ValueError, match=r"Did you mean 'triple'.* Known: double, triple, twice"):
        functions.deserialize("tripel", custom_objects={"triple": double})
    with (
        CustomObjectScope({"triple": double}),
        pytest.raises(ValueError, match="Did you mean 'triple'"),
    ):
        functions.get("tripel")


def test_the_message_does_not_depend_on_the_order_of_a_set():
    script = (
        "from minikeras.utils.registry import unknown_name_message as m;"
        "print(m('x', 'zeroes', {'zeros', 'Zeros', 'ZEROS', 'ones', 'Ones'}))"
    )
    run = [sys.executable, "-c", script]
    messages = {
        subprocess.run(
            run, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, capture_output=True
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert messages == {
        b"Unknown x 'zeroes'. Did you mean 'zeros'? Known: Ones, ones, ZEROS, Zeros, zeros.\n"
    }


def test_unknown_name_message_of_something_that_is_no_string():
    assert unknown_name_message("thing", 3, ["a"]) == "Unknown thing 3. Known: a."


# Configs


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"class_name": "Thing"},
        {"config": {}},
        {"class_name": "Thing", "config": None},
        {"class_name": "Thing", "config": 3},
        {"class_name": ["Thing"], "config": {}},
        {"class_name": None, "config": {}},
    ],
)
def test_a_config_that_is_none(config):
    with pytest.raises(ValueError, match="A config of thing is a name or a dict"):
        things.get(config)


@pytest.mark.parametrize("config", [None, 3, ["Thing"]])
def test_deserialize_refuses_other_types(config):
    with pytest.raises(ValueError, match="A config of thing is a name or a dict"):
        things.deserialize(config)


@pytest.mark.parametrize("name", ["os.system", "__builtins__", "__class__", "get", "print"])
def test_only_names_in_the_table_are_found(name):
    with pytest.raises(ValueError, match="Unknown thing"):
        things.get(name)
    with pytest.raises(ValueError, match="Unknown thing"):
        things.get({"class_name": name, "config": {}})


def test_from_config_gets_a_copy():
    class Greedy(Thing):
        @classmethod
        def from_config(cls, config):
            return cls(config.pop("size"))

    config = {"class_name": "Greedy", "config": {"size": 4}}
    assert things.deserialize(config, {"Greedy": Greedy}).size == 4
    assert config == {"class_name": "Greedy", "config": {"size": 4}}


def test_round_trip():
    config = things.serialize(Thing(3))
    assert config == {"class_name": "Thing", "config": {"size": 3}}
    assert things.deserialize(config).size == 3
    assert functions.serialize(double) == "double"
    assert things.serialize(None) is None


def test_serialize_a_class_gives_its_name():
    assert serialize_keras_object(Thing) == "Thing"
    assert isinstance(things.get(things.serialize(Thing)), Thing)


def test_serialize_what_has_no_name():
    with pytest.raises(ValueError, match="neither a 'get_config' method nor a name"):
        things.serialize(3)


# Custom objects


def test_custom_objects_of_one_call():
    class Mine(Thing):
        pass

    config = {"class_name": "Mine", "config": {"size": 2}}
    assert isinstance(things.deserialize(config, custom_objects={"Mine": Mine}), Mine)
    assert isinstance(things.deserialize("Mine", custom_objects={"Mine": Mine}), Mine)
    with pytest.raises(ValueError, match="Unknown thing 'Mine'"):
        things.deserialize(config)


def test_custom_objects_reach_what_is_inside():
    class Mine(Thing):
        pass

    config = {"class_name": "Box", "config": {"inner": {"class_name": "Mine", "config": {}}}}
    box = things.deserialize(config, custom_objects={"Mine": Mine})
    assert isinstance(box.inner, Mine)
    assert get_custom_objects() == {}


def test_custom_objects_win_over_built_in_ones():
    def triple(x):
        return 3 * x

    with CustomObjectScope({"double": triple}):
        assert functions.get("double") is triple
        assert functions.deserialize("double", {"double": len}) is len
    assert functions.get("double") is double


def test_global_custom_objects():
    get_custom_objects()["triple"] = double
    assert functions.get("triple") is double


def test_scope_takes_several_tables_the_last_wins():
    with custom_object_scope({"a": 1, "b": 1}, {"b": 2}) as scope:
        assert get_custom_objects() == {"a": 1, "b": 2}
        assert isinstance(scope, CustomObjectScope)
    assert get_custom_objects() == {}


def test_scopes_nest():
    with CustomObjectScope({"a": 1}):
        with CustomObjectScope({"a": 2, "b": 2}):
            assert get_custom_objects() == {"a": 2, "b": 2}
        assert get_custom_objects() == {"a": 1}


def test_one_scope_can_be_entered_twice():
    scope = CustomObjectScope({"a": 1})
    with scope:
        with scope:
            assert get_custom_objects() == {"a": 1}
        assert get_custom_objects() == {"a": 1}
    assert get_custom_objects() == {}


def test_scope_ends_with_an_error():
    with pytest.raises(RuntimeError, match="stop"), CustomObjectScope({"a": 1}):
        raise RuntimeError("stop")
    assert get_custom_objects() == {}


# Keras' functions


def test_deserialize_keras_object():
    config = {"class_name": "Thing", "config": {"size": 3}}
    assert deserialize_keras_object(config, {"Thing": Thing}).size == 3
    assert deserialize_keras_object(config, custom_objects={"Thing": Thing}).size == 3
    assert deserialize_keras_object("double", {"double": double}) is double
    with pytest.raises(ValueError, match="Unknown gadget 'double'"):
        deserialize_keras_object("double", printable_module_name="gadget")


def test_has_arg():
    def function(a, /, b, *rest, c=1, **others):
        return a, b, rest, c, others

    assert has_arg(function, "b")
    assert has_arg(function, "c")
    assert not has_arg(function, "a")
    assert not has_arg(function, "rest")
    assert not has_arg(function, "d")
    assert has_arg(function, "d", accept_all=True)
    assert not has_arg(double, "d", accept_all=True)
    assert has_arg(Thing, "size")
    assert not has_arg(Thing, "self")


@pytest.mark.parametrize("function", [max, np.exp])
def test_has_arg_of_a_function_without_a_signature(function):
    assert not has_arg(function, "x")
