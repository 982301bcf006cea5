"""tinygrad: a jitted step, on its OpenCL or its CPU backend. It compiles for minutes, so it runs only when it is named."""
import os
import sys
import time

import rival

NAME = "tinygrad"
VARIANTS = {task: {"CL": True, "CPU": False} for task in ("train", "infer")}


def prepare(model, variant, threads):
    os.environ["DEV"] = variant  # of tinygrad, which reads it when it is imported
    os.environ["CPU_COUNT"] = str(threads)
    import tinygrad
    import tinygrad.nn
    from tinygrad.helpers import TRAINING, Context
    tinygrad.Tensor.manual_seed(1)
    return Program(tinygrad, lambda on: Context(**{TRAINING.key: on}), model)


class Program:
    def __init__(self, tinygrad, mode, model):
        import importlib.metadata
        self.tinygrad, self.mode, self.layers = tinygrad, mode, model.layers
        self.versions = importlib.metadata.version("tinygrad")
        self.trained, self.steps = [], []
        for layer in model.layers:
            self.steps.append(self.make(layer))
        self.parameters = sum(tensor.numel() for tensor in self.trained)

    def weights(self, layer, shape, fan_in, fan_out):
        squared = 2.0 / (fan_in if layer.init.startswith("he") else (fan_in + fan_out) / 2)
        spread = squared ** 0.5
        tensor = self.tinygrad.Tensor
        uniform = layer.init.endswith("uniform")
        made = tensor.uniform(*shape, low=-spread * 3 ** 0.5, high=spread * 3 ** 0.5) if uniform else tensor.normal(*shape, std=spread)
        bias = tensor.zeros(layer.units).contiguous() if layer.bias else None
        self.trained += [made] if bias is None else [made, bias]
        return made, bias

    def make(self, layer):
        """The layer without its activation, as a function of its inputs, NCHW."""
        if layer.activation not in ("", "relu", "tanh", "sigmoid"):
            rival.refuse(layer, NAME)
        channels = layer.shape[2]
        top, bottom, left, right = layer.pads
        pads = (left, right, top, bottom)
        if layer.op == "conv":
            area = layer.window[0] * layer.window[1]
            weights, bias = self.weights(layer, (layer.units, channels // layer.groups, *layer.window),
                                         area * channels // layer.groups, area * layer.units // layer.groups)
            return lambda x: x.conv2d(weights, bias, layer.groups, layer.stride, layer.dilation, pads)
        if layer.op == "dense":
            inputs = layer.shape[0] * layer.shape[1] * channels
            weights, bias = self.weights(layer, (inputs, layer.units), inputs, layer.units)
            return lambda x: x.flatten(1).linear(weights, bias)
        if layer.op == "batch_norm":
            norm = self.tinygrad.nn.BatchNorm(channels, layer.epsilon, momentum=1 - layer.momentum)
            self.trained += [norm.weight, norm.bias]
            return norm
        if layer.op == "global_average_pool":
            return lambda x: x.mean((2, 3))
        functions = {"max_pool": lambda x: x.max_pool2d(layer.window, layer.stride, padding=pads),
                     "average_pool": lambda x: x.avg_pool2d(layer.window, layer.stride, padding=pads, count_include_pad=False),
                     "flatten": lambda x: x.flatten(1), "add": lambda x, y: x + y, "activation": lambda x: x, "softmax": lambda x: x}
        if layer.op not in functions:
            rival.refuse(layer, NAME)
        return functions[layer.op]

    def logits(self, x):
        values = {-1: x}
        for place, (layer, step) in enumerate(zip(self.layers, self.steps)):
            y = step(*(values[i] for i in layer.inputs))
            values[place] = getattr(y, layer.activation)() if layer.activation else y
        return values[len(self.layers) - 1]

    def tensor(self, images):
        return self.tinygrad.Tensor(images.transpose(0, 3, 1, 2).copy()).realize()

    def train(self, images, labels, batch, steps):
        tensor = self.tinygrad.Tensor
        x, y = self.tensor(images), tensor(labels.astype("int32")).realize()
        optimizer = self.tinygrad.nn.optim.Adam(self.trained, lr=1e-3, eps=1e-7)

        @self.tinygrad.TinyJit
        def step(chosen):
            optimizer.zero_grad()
            loss = self.logits(x[chosen]).sparse_categorical_crossentropy(y[chosen]).backward()
            return loss.realize(*optimizer.schedule_step())

        with self.mode(1):
            while True:
                order = tensor.randperm(len(images)).realize()
                total = 0.0
                start = time.perf_counter()
                for i in range(steps):
                    total += step(order[i * batch:(i + 1) * batch].contiguous().realize()).item()
                yield time.perf_counter() - start, total / steps

    def infer(self, images):
        x = self.tensor(images)
        run = self.tinygrad.TinyJit(lambda x: self.logits(x).softmax(1).realize())
        return lambda: run(x).numpy()


if __name__ == "__main__":
    rival.main(sys.modules[__name__])
