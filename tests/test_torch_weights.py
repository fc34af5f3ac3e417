"""Weights of PyTorch models: what does not fit or cannot be trusted is refused. Whether they compute the same is tested
in test_authorities.py, where PyTorch is."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cnn_zoo import build_model, load_torch_weights
from cnn_zoo.core.errors import MissingError, RunError, UsageError
from conftest import equal, like_torchvision


def test_what_does_not_fit_is_listed_and_the_model_left_alone(tmp_path):
    model, state = build_model("resnet18", (96, 96, 3), num_classes=1000, compile=False), like_torchvision("resnet18")
    save_file(state, tmp_path / "resnet18.safetensors")
    before = [weight.copy() for weight in model.get_weights()]
    state["extra.weight"] = state.pop("layer1.0.conv1.weight")
    state["conv1.weight"] = state["conv1.weight"][:, :1]
    with pytest.raises(RunError) as caught:
        load_torch_weights(model, state)
    for text in (
        "stage1_block1_conv1/kernel is not filled: layer1.0.conv1.weight is missing",
        "extra.weight is not used",
        "conv1.weight of shape (64, 1, 7, 7) does not fit stem_conv/kernel (7, 7, 3, 64)",
    ):
        assert text in str(caught.value)
    assert equal(before, model.get_weights())
    with pytest.raises(RunError, match=r"do not fit resnet34.*and \d+ more"):
        other = build_model("resnet34", (96, 96, 3), num_classes=1000, compile=False)
        load_torch_weights(other, tmp_path / "resnet18.safetensors")
    with pytest.raises(RunError, match='for images this small build it with layout="paper"'):
        small = build_model("resnet18", (64, 64, 3), num_classes=1000, compile=False)
        load_torch_weights(small, tmp_path / "resnet18.safetensors")
    whole = load_file(tmp_path / "resnet18.safetensors")
    renamed = {name.replace("fc.", "linear."): tensor for name, tensor in whole.items()}
    for strange in (renamed, {f"module.{name}": tensor for name, tensor in whole.items()}):
        with pytest.raises(RunError) as caught:  # the layout is not what is wrong with these
            load_torch_weights(small, strange)
        assert "layout" not in str(caught.value)


def test_files_that_are_not_safetensors_are_refused(tmp_path):
    model = build_model("resnet18", (32, 32, 3), compile=False)
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(RunError, match="pickled ones could run code"):
        load_torch_weights(model, tmp_path / "model.pth")
    with pytest.raises(MissingError, match="no such weights file"):
        load_torch_weights(model, tmp_path / "none.safetensors")
    for arguments in ((model, None), (None, {})):
        with pytest.raises(UsageError, match="got None"):
            load_torch_weights(*arguments)
    for content in (b"", b"x" * 100, b"\xff" * 8 + b"{}"):
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(RunError, match=r"damaged or not a \.safetensors file"):
            load_torch_weights(model, tmp_path / "bad.safetensors")
    save_file({"conv1.weight": np.full((64, 3, 7, 7), np.inf, np.float32)}, tmp_path / "bad.safetensors")
    with pytest.raises(RunError, match=r"conv1\.weight holds numbers that are not finite"):
        load_torch_weights(model, tmp_path / "bad.safetensors")
    from ml_dtypes import bfloat16

    save_file({"conv1.weight": np.full((64, 3, 7, 7), np.nan, bfloat16)}, tmp_path / "bad.safetensors")
    with pytest.raises(RunError, match=r"conv1\.weight holds numbers that are not finite"):
        load_torch_weights(model, tmp_path / "bad.safetensors")
    with pytest.raises(UsageError, match="lenet5 has no counterpart"):
        load_torch_weights(build_model("lenet5", compile=False), {})


def test_a_head_for_other_classes_is_left_out_whole_and_a_wrong_one_refused():
    model, state = build_model("resnet18", (96, 96, 3), num_classes=7, compile=False), like_torchvision("resnet18")
    random = model.get_layer("predictions").get_weights()
    with pytest.warns(UserWarning, match="has 7 classes, the weights have 1000: it keeps its random weights"):
        load_torch_weights(model, state)
    assert equal(random, model.get_layer("predictions").get_weights())
    for name, wrong in {"fc.bias": state["fc.bias"][:3], "fc.weight": state["fc.weight"][:, :100]}.items():
        for classes in (7, 1000):
            model = build_model("resnet18", (96, 96, 3), num_classes=classes, compile=False)
            before = model.get_weights()
            with pytest.raises(RunError, match=rf"{name} of shape \S+( \S+)? does not fit predictions"):
                load_torch_weights(model, {**state, name: wrong})
            assert equal(before, model.get_weights())


def test_mappings_are_looked_at_as_files_are():
    model = build_model("resnet18", (96, 96, 3), compile=False)
    for wrong in ("x", [[1], [2, 3]], {}):
        with pytest.raises(RunError, match=r"'conv1\.weight' is not an array of numbers"):
            load_torch_weights(model, {"conv1.weight": wrong})
    with pytest.raises(RunError, match=r"'fc\.bias' holds numbers that are not finite"):
        load_torch_weights(model, {"fc.bias": np.array([1, np.nan])})
    with pytest.raises(RunError, match="these weights do not fit resnet18"):
        load_torch_weights(model, {3: np.ones(2)})
