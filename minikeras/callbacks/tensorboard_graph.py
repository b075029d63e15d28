"""A model as the graph that TensorBoard draws."""

from __future__ import annotations

from typing import Any

from minikeras.callbacks.tensorboard_events import Tags


def graph_of(model: Any) -> Any:
    """Return a GraphDef with a node for each layer.

    A node has the layer's name and the name of its class; the edge to the next one has the shape of
    what it hands on, where that is known. The layers of a model that is a layer are named
    ``model/layer``, so that TensorBoard shows it as a box that opens.

    Parameters
    ----------
    model : Sequential
    """
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.versions_pb2 import VersionDef

    graph = GraphDef(versions=VersionDef(producer=22))
    shape = model.input_shape if model.built else None
    tags = Tags()
    # There is no input without layers.
    for name in model.input_names:
        source = _add_node(graph, tags.new(name), "InputLayer", [], shape)
        _add_layers(graph, model, "", source, shape, tags)
    return graph


def _add_layers(graph: Any, model: Any, scope: str, source: str, shape: Any, tags: Tags) -> str:
    """Add the layers of a model, and return the name of the last node."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            box = tags.new(scope + layer.name)
            source = _add_layers(graph, layer, f"{box}/", source, shape, tags)
            shape = _after(layer, shape)
        else:
            shape = _after(layer, shape)
            name = tags.new(scope + layer.name)
            source = _add_node(graph, name, type(layer).__name__, [source], shape)
    return source


def _after(layer: Any, shape: Any) -> Any:
    """Return the shape of a layer's output, None if it is not known."""
    return None if shape is None else layer.compute_output_shape(shape)


def _add_node(graph: Any, name: str, op: str, sources: list[str], shape: Any) -> str:
    """Add a node, and return its name."""
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

    node = graph.node.add(name=name, op=op, input=sources)
    if shape is not None:
        sizes = [TensorShapeProto.Dim(size=-1 if n is None else n) for n in shape]
        node.attr["_output_shapes"].list.shape.add(dim=sizes)
    return name
