"""Agreement with authorities: on random weights, our nets compute what torchvision's and keras.applications' do.

torchvision needs its compiled operators at import, which are missing beside a CPU build of torch; declaring them is
enough for its models, which are written in Python.
"""

import importlib.util
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_zoo import build_model, load_torch_weights, model_card

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def torchvision():
    found = importlib.util.find_spec("torchvision")
    if found is None:
        pytest.skip("torchvision is not installed")
    try:
        import torchvision
    except RuntimeError:
        source = Path(found.origin).with_name("_meta_registrations.py").read_text()
        library = torch.library.Library("torchvision", "DEF")
        for name in sorted(set(re.findall(r'register_(?:fake|meta)\("(?:torchvision::)?(\w+)"\)', source))):
            library.define(f"{name}() -> ()")
        globals()["_library"] = library  # declarations last as long as the object
        import torchvision
    return torchvision


def random_state(torch_model, seed=0):
    """Random weights for every tensor, running statistics included, that keep the activations of a sane size."""
    generator = torch.Generator().manual_seed(seed)
    state = torch_model.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var") or name.endswith("weight"):
            tensor.copy_(1 + 0.2 * torch.rand(tensor.shape, generator=generator))
        else:
            tensor.copy_(0.1 * noise)
    torch_model.load_state_dict(state)
    return torch_model.eval()


def logits_of(torch_model, images):
    with torch.no_grad():
        return torch_model(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()


def images(model, count=2):
    return np.random.default_rng(0).random((count, *model.input_shape[1:]), dtype=np.float32)


TORCHVISION = {  # our name, options -> torchvision's name, options
    "alexnet_owt": ("alexnet", {}),
    "vgg11": ("vgg11", {}),
    "vgg16": ("vgg16", {}),
    "vgg11 batch_norm": ("vgg11_bn", {"batch_norm": True}),
    "vgg16 batch_norm": ("vgg16_bn", {"batch_norm": True}),
    "inception_v3": ("inception_v3", {}),
    "resnet18": ("resnet18", {}),
    "resnet34": ("resnet34", {}),
    "resnet50": ("resnet50", {}),
    "densenet121": ("densenet121", {}),
    "squeezenet1_0": ("squeezenet1_0", {}),
    "squeezenet1_1": ("squeezenet1_1", {}),
    "mobilenet_v2": ("mobilenet_v2", {}),
    "shufflenet_v2": ("shufflenet_v2_x1_0", {}),
    "shufflenet_v2 0.5": ("shufflenet_v2_x0_5", {"width": 0.5}),
    "efficientnet_b0": ("efficientnet_b0", {}),
}


@pytest.mark.parametrize("case", TORCHVISION)
def test_torchvision_computes_the_same_from_the_same_weights(torchvision, case):
    theirs, options = TORCHVISION[case]
    extra = {"init_weights": False} if theirs == "inception_v3" else {}
    peer = random_state(torchvision.models.get_model(theirs, weights=None, **extra))
    ours = build_model(
        case.split()[0], num_classes=1000, layout="paper", classifier_activation=None, compile=False, **options
    )
    load_torch_weights(ours, peer.state_dict())
    x = images(ours)
    expected, found = logits_of(peer, x), np.asarray(ours(x, training=False))
    assert np.abs(expected).max() > 1e-3
    assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        *((name, {}, name) for name in ("vgg13", "vgg19", "resnet34", "resnet101", "resnet152", "densenet169")),
        *((name, {}, name) for name in ("densenet201", "squeezenet1_0", "efficientnet_b0")),
        *(("shufflenet_v2", {"width": w}, f"shufflenet_v2_x{n}") for w, n in ((0.5, "0_5"), (1.5, "1_5"), (2, "2_0"))),
    ],
)
def test_trainable_parameters_are_those_that_torchvision_states(torchvision, name, options, theirs):
    stated = torchvision.models.get_model_weights(theirs).DEFAULT.meta
    card = model_card(name, num_classes=1000, layout="paper", **options)
    assert card.trainable == stated["num_params"]
    assert card.macs / 1e9 == pytest.approx(stated["_ops"], rel=0.01, abs=0.005)  # rounded there


@pytest.fixture(scope="module")
def resnet_file(torchvision, tmp_path_factory):
    from safetensors.torch import save_file

    peer = random_state(torchvision.models.resnet18())
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(peer.state_dict(), path)
    return peer, path


def test_a_file_fills_a_model_of_another_number_of_classes_and_a_feature_extractor(resnet_file):
    peer, path = resnet_file
    x = np.random.default_rng(0).random((2, 96, 96, 3), dtype=np.float32)
    with torch.no_grad():
        features = torch.nn.Sequential(*list(peer.children())[:-1])(torch.from_numpy(x.transpose(0, 3, 1, 2))).flatten(
            1
        )
    bare = build_model("resnet18", (96, 96, 3), include_top=False, pooling="avg")
    load_torch_weights(bare, path)
    np.testing.assert_allclose(bare.predict(x, verbose=0), features.numpy(), atol=1e-4, rtol=1e-4)
    few = build_model("resnet18", (96, 96, 3), num_classes=5)
    before = few.get_layer("predictions").get_weights()
    with pytest.warns(
        UserWarning, match="predictions has 5 classes, the weights have 1000: it keeps its random weights"
    ):
        load_torch_weights(few, path)
    assert np.array_equal(before[0], few.get_layer("predictions").get_weights()[0])
    np.testing.assert_array_equal(
        few.get_layer("stem_conv").get_weights()[0], bare.get_layer("stem_conv").get_weights()[0]
    )


def test_timms_names_are_known(torchvision):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    for theirs, ours, size in (
        ("mobilenetv2_100", "mobilenet_v2", 224),
        ("efficientnet_b0", "efficientnet_b0", 224),
        ("vgg11_bn", "vgg11", 224),
        ("resnet18", "resnet18", 96),
    ):
        peer = random_state(timm.create_model(theirs, pretrained=False))
        options = {"batch_norm": True} if theirs == "vgg11_bn" else {}
        model = build_model(ours, (size, size, 3), 1000, classifier_activation=None, compile=False, **options)
        load_torch_weights(model, peer.state_dict())
        x = images(model)
        expected = logits_of(peer, x)
        assert np.abs(np.asarray(model(x, training=False)) - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


class LeNet5(torch.nn.Module):
    """As introductions print it, from the layer table: 6 and 16 5x5 kernels, 120-84-10."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = torch.nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = (torch.nn.Linear(a, b) for a, b in ((400, 120), (120, 84), (84, 10)))

    def forward(self, x):
        f = torch.nn.functional
        x = f.avg_pool2d(f.relu(self.conv1(x)), 2)
        x = f.avg_pool2d(f.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(f.relu(self.fc2(f.relu(self.fc1(x)))))


class PaddedNet(torch.nn.Module):
    """Two padded 3x3 convolutions of 32 and 64 channels on 32x32x3, and the 64*8*8 that follow."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.Conv2d(32, 64, 3, padding=1)
        self.fc1, self.fc2 = torch.nn.Linear(64 * 8 * 8, 128), torch.nn.Linear(128, 10)

    def forward(self, x):
        f = torch.nn.functional
        x = f.max_pool2d(f.relu(self.conv1(x)), 2)
        x = f.max_pool2d(f.relu(self.conv2(x)), 2).flatten(1)
        return self.fc2(f.relu(self.fc1(x)))


@pytest.mark.parametrize(
    ("peer", "arguments"),
    [
        (LeNet5(), {"name": "lenet5"}),
        (PaddedNet(), {"name": "conv_stack", "input_shape": (32, 32, 3), "filters": (32, 64), "padding": "same"}),
    ],
)
def test_the_nets_of_introductions_compute_the_same(peer, arguments):
    peer = random_state(peer)
    ours = build_model(**arguments, classifier_activation=None)
    flat = next(layer for layer in ours.layers if layer.name == "flatten").input.shape[1:]
    for layer, module in zip([layer for layer in ours.layers if layer.weights], peer.children(), strict=True):
        weight, bias = (p.detach().numpy() for p in module.parameters())
        if weight.ndim == 4:
            weight = weight.transpose(2, 3, 1, 0)
        elif layer.name == "fc1":  # channels first to channels last
            weight = weight.reshape(-1, flat[2], *flat[:2]).transpose(2, 3, 1, 0).reshape(-1, len(weight))
        else:
            weight = weight.T
        layer.set_weights([weight, bias])
    x = images(ours, 4)
    np.testing.assert_allclose(np.asarray(ours(x)), logits_of(peer, x), atol=1e-4)


def keras_pairs(ours, theirs, names):
    """Copy the weights of keras.applications' layers into ours; names: our layer's name -> theirs."""
    known = {layer.name for layer in theirs.layers}
    for layer in ours.layers:
        if layer.weights:
            assert names(layer.name) in known, (layer.name, names(layer.name))
            layer.set_weights(theirs.get_layer(names(layer.name)).get_weights())


def mobilenet_name(name):
    blocks = (1, 2, 2, 6, 2)
    name = {"stem_conv": "conv1", "stem_conv_norm": "conv1_bn"}.get(name, name)
    kinds = {"depthwise": "dw", "pointwise": "pw"}

    def rename(match):
        number = sum(blocks[: int(match[1]) - 1]) + int(match[2])
        return f"conv_{kinds[match[3]]}_{number}{'_bn' if match[4] else ''}"

    return re.sub(r"stage(\d)_block(\d)_(depthwise|pointwise)(_norm)?", rename, name)


def densenet_name(name):
    names = {"stem_conv": "conv1_conv", "stem_conv_norm": "conv1_bn", "final_norm": "bn"}

    def rename(match):
        kind = {"1_norm": "0_bn", "1": "1_conv", "2_norm": "1_bn", "2": "2_conv"}[match[3]]
        return f"conv{int(match[1]) + 1}_block{match[2]}_{kind}"

    name = re.sub(
        r"stage(\d)_transition(_norm)?", lambda m: f"pool{m[1]}_{'bn' if m[2] else 'conv'}", names.get(name, name)
    )
    return re.sub(r"stage(\d)_block(\d+)_conv(\d(?:_norm)?)", rename, name)


KERAS = {  # our name -> theirs, the names of their layers, options, size
    "densenet121": ("DenseNet121", densenet_name, {}, 160),
    "mobilenet_v1": ("MobileNet", mobilenet_name, {"activation": "relu6"}, 161),
    "vgg16": ("VGG16", lambda name: name.replace("stage", "block") if name.startswith("stage") else name, {}, 160),
}


def padded_on_every_side(layer):
    """Their layer with the padding and epsilon of PyTorch, which are ours."""
    changes = {"epsilon": 1e-5} if type(layer).__name__ == "BatchNormalization" else {}
    if getattr(layer, "padding", None) == ((0, 1), (0, 1)):
        changes = {"padding": 1}
    return type(layer).from_config(layer.get_config() | changes)


@pytest.mark.parametrize("name", KERAS)
def test_keras_applications_computes_the_same_but_for_padding_and_epsilon(name):
    application, names, options, size = KERAS[name]
    theirs = getattr(keras.applications, application)(weights=None, include_top=False, input_shape=(size, size, 3))
    theirs = keras.models.clone_model(theirs, clone_function=padded_on_every_side)
    rng = np.random.default_rng(0)
    for layer in theirs.layers:  # statistics and offsets that are not all zero and one
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([w + 0.2 * rng.random(w.shape, dtype=np.float32) for w in layer.get_weights()])
    ours = build_model(name, (size, size, 3), include_top=False, layout="paper", **options)
    keras_pairs(ours, theirs, names)
    x = images(ours)
    expected, found = np.asarray(theirs(x, training=False)), np.asarray(ours(x, training=False))
    assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
