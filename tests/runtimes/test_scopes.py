import onnx
from onnx import TensorProto, helper

from pocketeye.runtimes.onnx.scopes import NodeModules


def graph(*nodes: onnx.NodeProto, weights: tuple[str, ...] = ()) -> onnx.ModelProto:
    tensors = [helper.make_tensor(name, TensorProto.FLOAT, [1], [0.0]) for name in weights]
    return helper.make_model(helper.make_graph(list(nodes), "g", [], [], tensors))


def exported(op: str, inputs: list[str], output: str, scopes: str) -> onnx.NodeProto:
    node = helper.make_node(op, inputs, [output], name=f"node_{output}")
    entry = node.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", scopes
    return node


def test_notes_of_the_exporter_and_names_that_fusing_gives() -> None:
    conv = exported("Conv", ["x", "w"], "conv2d", "['', 'stem', 'stem.0', 'conv2d']")
    relu = exported("Relu", ["conv2d"], "relu", "['', 'stem', 'stem.1', 'relu']")
    modules = NodeModules(graph(conv, relu))
    assert modules.of("node_conv2d") == "stem.0"
    # Fused operators are called after what they give.
    assert modules.of("relu_nchwc", "Conv") == "stem.0"
    assert modules.of("relu_nchwc", "Relu") == "stem.1"
    assert modules.of("node_conv2d_token_41") == "stem.0"
    assert modules.of("ReorderOutput_token_3") == ""


def test_names_of_weights_and_what_reads_their_result() -> None:
    conv = helper.make_node("Conv", ["x", "blocks.0.conv.weight"], ["y"], name="a")
    act = helper.make_node("Relu", ["y"], ["z"], name="b")
    modules = NodeModules(graph(conv, act, weights=("blocks.0.conv.weight",)))
    assert (modules.of("a"), modules.of("b")) == ("blocks.0.conv", "blocks.0.conv")


def test_forged_notes_are_no_code() -> None:
    conv = exported("Conv", ["x"], "y", "__import__('os').getcwd()")
    assert NodeModules(graph(conv)).of("node_y") == ""
