"""Reads the text form of a model (the README has it) into a neutral list of layers, shapes and parameters inferred.

Every program of the comparison is built from this list, so that all of them run the same network. An op or key that the
list cannot carry is refused by name; a program that lacks an op of the list refuses it itself.
"""
import dataclasses
import math

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh", "softmax")
INITIALISERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal")
WINDOWS = ("max_pool", "average_pool")
OPS = WINDOWS + ("conv", "dense", "global_average_pool", "flatten", "activation", "softmax", "batch_norm", "dropout", "add")


class ModelError(Exception):
    """The text is not a model that the comparison can build."""


@dataclasses.dataclass
class Layer:
    """One layer. inputs are places in the model's list, -1 the model's input; shapes are (height, width, channels)."""
    op: str
    name: str = ""
    inputs: tuple = ()
    shape: tuple = ()            # of the first input
    output: tuple = ()
    units: int = 0
    window: tuple = ()           # filter or pooling window
    stride: tuple = ()
    pads: tuple = (0, 0, 0, 0)   # top, bottom, left, right
    same: bool = False           # pads came of pad=same
    dilation: tuple = (1, 1)
    groups: int = 1
    bias: bool = True
    activation: str = ""
    slope: float = 0.01
    rate: float = 0.0
    momentum: float = 0.9        # share of the old running statistics kept
    epsilon: float = 1e-5
    init: str = INITIALISERS[0]
    parameters: int = 0          # values that training changes
    flops: float = 0.0           # forward, of a sample


@dataclasses.dataclass
class Model:
    input: tuple
    layers: list

    @property
    def parameters(self):
        return sum(layer.parameters for layer in self.layers)

    @property
    def flops(self):
        return sum(layer.flops for layer in self.layers)


def read_pair(word):
    parts = [int(part) for part in word.split("x")]
    if len(parts) > 2:
        raise ValueError
    return (parts[0], parts[-1])


def read_pads(word):
    """The pads (top, bottom, left, right); None for same, which depends on the shape."""
    if word == "same":
        return None
    parts = [0] if word == "valid" else [int(part) for part in word.split(",")]
    if len(parts) not in (1, 4):
        raise ValueError
    return tuple(parts * (4 // len(parts)))


def read_yes(word):
    return {"yes": True, "no": False}[word]


def read_init(word):
    if word not in INITIALISERS:
        raise ValueError
    return word


READERS = {"stride": read_pair, "pad": read_pads, "dilation": read_pair, "groups": int, "bias": read_yes, "slope": float,
           "rate": float, "momentum": float, "epsilon": float, "init": read_init, "from": str, "with": str}


def place_of(layers, name):
    if name == "input":
        return -1
    for place, layer in enumerate(layers):
        if layer.name == name:
            return place
    raise ModelError("there is no layer '%s' before it" % name)


def read_layer(words, layers):
    """The layer of a line's words, its inputs resolved and its shapes not yet inferred."""
    name = words.pop(0)[:-1] if words[0].endswith(":") else None
    if not words or words[0] not in OPS:
        raise ModelError("the op '%s' is not known to the comparison (%s)" % (words[0] if words else "", ", ".join(OPS)))
    layer = Layer(op=words.pop(0))
    layer.name = name or "%s%d" % (layer.op, 1 + sum(other.op == layer.op for other in layers))
    keys = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            if equals:
                keys[key] = READERS[key](value)
            elif word in ACTIVATIONS:
                layer.activation = word
            elif layer.op == "dropout":
                layer.rate = float(word)
            elif "x" in word:
                layer.window = read_pair(word)
            else:
                layer.units = int(word)
        except (KeyError, ValueError):
            raise ModelError("'%s' is not understood after '%s'" % (word, layer.op)) from None
    layer.inputs = (place_of(layers, keys.pop("from")) if "from" in keys else len(layers) - 1,)
    if layer.op == "add":
        if "with" not in keys:
            raise ModelError("add needs with=")
        layer.inputs += (place_of(layers, keys.pop("with")),)
    layer.stride = keys.pop("stride", layer.window if layer.op in WINDOWS else (1, 1))
    pads = keys.pop("pad", (0, 0, 0, 0))
    layer.same = pads is None
    layer.pads = pads or (0, 0, 0, 0)
    for key, value in keys.items():
        setattr(layer, key, value)
    return layer


def infer_window(layer):
    """Height and width of the output; sets the pads of pad=same, the odd pixel at the bottom and right."""
    sizes = []
    pads = list(layer.pads)
    for axis in (0, 1):
        size, stride = layer.shape[axis], layer.stride[axis]
        reach = (layer.window[axis] - 1) * layer.dilation[axis] + 1
        if layer.same:
            total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
            pads[2 * axis:2 * axis + 2] = [total // 2, total - total // 2]
        padded = size + pads[2 * axis] + pads[2 * axis + 1]
        if padded < reach:
            raise ModelError("its window of %d does not fit %d pixels" % (reach, padded))
        sizes.append((padded - reach) // stride + 1)
    layer.pads = tuple(pads)
    return sizes


def infer(layer, shapes):
    """Fills in output, parameters and FLOPs from the shapes of the inputs."""
    layer.shape = layer.output = shapes[0]
    height, width, channels = layer.shape
    if any(shape != layer.shape for shape in shapes):
        raise ModelError("it adds different shapes")
    if layer.op in ("conv",) + WINDOWS and not layer.window:
        raise ModelError("it has no window")
    if layer.op in ("conv", "dense") and layer.units < 1:
        raise ModelError("it has no units")
    if layer.op == "conv":
        if channels % layer.groups or layer.units % layer.groups:
            raise ModelError("%d groups do not divide its channels" % layer.groups)
        layer.output = (*infer_window(layer), layer.units)
        weights = layer.window[0] * layer.window[1] * channels // layer.groups * layer.units
        layer.parameters = weights + layer.bias * layer.units
        layer.flops = 2.0 * layer.output[0] * layer.output[1] * weights
    elif layer.op in WINDOWS:
        layer.output = (*infer_window(layer), channels)
    elif layer.op == "dense":
        layer.output = (1, 1, layer.units)
        layer.parameters = (height * width * channels + layer.bias) * layer.units
        layer.flops = 2.0 * height * width * channels * layer.units
    elif layer.op == "global_average_pool":
        layer.output = (1, 1, channels)
    elif layer.op == "flatten":
        layer.output = (1, 1, height * width * channels)
    elif layer.op == "batch_norm":
        layer.parameters = 2 * channels
        layer.flops = 2.0 * height * width * channels
    elif layer.op == "add":
        layer.flops = 1.0 * height * width * channels


def append(layers, layer, input_shape):
    infer(layer, [layers[place].output if place >= 0 else input_shape for place in layer.inputs])
    layers.append(layer)
    if layer.activation == "softmax":
        layer.activation = ""
        append(layers, read_layer(["softmax"], layers), input_shape)


def parse(text):
    """The Model of a text; ModelError tells the line."""
    shape, layers = None, []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if shape:
                append(layers, read_layer(words, layers), shape)
            elif words[0] == "input" and len(words) == 2 and words[1].count("x") == 2:
                shape = tuple(int(part) for part in words[1].split("x"))
            else:
                raise ModelError("a model begins with its input, for example 'input 28x28x1'")
        except (ModelError, ValueError) as error:
            raise ModelError("model text, line %d: %s: %s" % (number, line.strip(), error)) from None
    if not layers:
        raise ModelError("the model text has no layers")
    return Model(shape, layers)


def load(path):
    with open(path, encoding="utf-8") as file:
        try:
            return parse(file.read())
        except ModelError as error:
            raise ModelError("%s: %s" % (path, error)) from None
