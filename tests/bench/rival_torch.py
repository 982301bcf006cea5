"""PyTorch with fused Adam: eager with channels_last or the plain layout; torch.compile on request, as it is slow to start.

On an NVIDIA GPU a step, or a call, is a CUDA graph: one launch. There PyTorch takes TensorFloat-32 for convolutions unless it
is forbidden, with products of 10 bits; the variants in fp32 forbid it.
"""
import sys
import time

import rival

NAME = "PyTorch"
VARIANTS = {task: {"channels_last": True, "plain": True, "compile": False} for task in ("train", "infer")}
GPU_VARIANTS = {task: {"GPU channels_last": True, "GPU plain": True, "GPU channels_last fp32": True, "GPU plain fp32": True}
                for task in ("train", "infer")}


def prepare(model, variant, threads):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if not variant.startswith("GPU"):
        return Program(torch, model, variant)
    if not torch.cuda.is_available():
        raise ImportError("PyTorch sees no GPU")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = not variant.endswith("fp32")
    return GraphProgram(torch, model, variant)


def build(torch, model):
    """The network as a module of NCHW inputs that gives logits."""
    nn, functional = torch.nn, torch.nn.functional
    activations = {"": nn.Identity, "relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
    starts = {"glorot_uniform": nn.init.xavier_uniform_, "glorot_normal": nn.init.xavier_normal_,
              "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
              "he_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")}

    def padded(layer, make):
        """make(padding) with symmetric padding; else a padding of its own in front."""
        top, bottom, left, right = layer.pads
        if top == bottom and left == right:
            return make((top, left))
        if layer.op != "conv":
            rival.refuse(layer, NAME + " (uneven padding)")
        return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), make(0))

    def module(layer):
        channels = layer.shape[2]
        if layer.op == "conv":
            made = padded(layer, lambda pads: nn.Conv2d(channels, layer.units, layer.window, layer.stride, pads, layer.dilation,
                                                        layer.groups, layer.bias))
        elif layer.op == "dense":
            made = nn.Linear(layer.shape[0] * layer.shape[1] * channels, layer.units, layer.bias)
            if layer.shape[:2] != (1, 1):
                made = nn.Sequential(nn.Flatten(), made)
        elif layer.op == "max_pool":
            made = padded(layer, lambda pads: nn.MaxPool2d(layer.window, layer.stride, pads))
        elif layer.op == "average_pool":
            made = padded(layer, lambda pads: nn.AvgPool2d(layer.window, layer.stride, pads, count_include_pad=False))
        elif layer.op == "global_average_pool":
            made = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        elif layer.op == "flatten":
            made = nn.Flatten()
        elif layer.op == "batch_norm":
            made = nn.BatchNorm2d(channels, layer.epsilon, 1 - layer.momentum)
        elif layer.op in ("add", "activation"):
            made = nn.Identity()
        else:
            rival.refuse(layer, NAME)
        if layer.activation not in activations:
            rival.refuse(layer, NAME)
        for part in made.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                starts[layer.init](part.weight)
                if layer.bias:
                    nn.init.zeros_(part.bias)
        return nn.Sequential(made, activations[layer.activation]()) if layer.activation else made

    class Network(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.inputs = [layer.inputs for layer in layers]
            self.parts = nn.ModuleList(module(layer) for layer in layers)
            # values that no later layer reads are let go
            self.last = {place: i for i, inputs in enumerate(self.inputs) for place in inputs}

        def forward(self, x):
            values = {-1: x}
            for i, (inputs, part) in enumerate(zip(self.inputs, self.parts)):
                value = values[inputs[0]] + values[inputs[1]] if len(inputs) == 2 else values[inputs[0]]
                values[i] = part(value)
                for place in set(inputs):
                    if self.last[place] == i:
                        del values[place]
            return values[len(self.parts) - 1]

    layers = model.layers[:-1] if model.layers[-1].op == "softmax" else model.layers  # the loss has the softmax
    return Network(layers), functional


class Program:
    def __init__(self, torch, model, variant):
        self.torch = torch
        self.versions = torch.__version__.split("+")[0]
        self.network, self.functional = build(torch, model)
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())
        self.layout = torch.contiguous_format if "plain" in variant else torch.channels_last
        self.network.to(memory_format=self.layout)
        self.run = torch.compile(self.network) if variant == "compile" else self.network

    def tensor(self, images):
        nchw = self.torch.from_numpy(images).permute(0, 3, 1, 2)
        return nchw.contiguous(memory_format=self.layout)

    def train(self, images, labels, batch, steps):
        torch = self.torch
        x, y = self.tensor(images), torch.from_numpy(labels)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, eps=1e-7, fused=True)
        self.network.train()
        while True:
            order = torch.randperm(len(x)).split(batch)
            total = torch.zeros(())
            start = time.perf_counter()
            for chosen in order:
                optimizer.zero_grad(set_to_none=True)
                loss = self.functional.cross_entropy(self.run(x[chosen]), y[chosen])
                loss.backward()
                optimizer.step()
                total += loss.detach()
            yield time.perf_counter() - start, total.item() / steps

    def infer(self, images):
        torch = self.torch
        x = self.tensor(images)
        self.network.eval()

        def call():
            with torch.inference_mode():
                return self.functional.softmax(self.run(x), 1).numpy()

        return call


class GraphProgram(Program):
    """On the GPU: data and order lie there, and what repeats is captured once as a CUDA graph."""

    def __init__(self, torch, model, variant):
        super().__init__(torch, model, variant)
        self.network.cuda()

    def capture(self, work):
        """A graph of work(), and what work() gave; it runs some times first, as the libraries choose their kernels then."""
        torch = self.torch
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            given = work()
        return graph, given

    def train(self, images, labels, batch, steps):
        torch = self.torch
        x, y = self.tensor(images).cuda(), torch.from_numpy(labels).cuda()
        optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, eps=1e-7, fused=True, capturable=True)
        self.network.train()
        chosen = torch.arange(batch, device="cuda")
        total = torch.zeros((), device="cuda")

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = self.functional.cross_entropy(self.run(x[chosen]), y[chosen])
            loss.backward()
            optimizer.step()
            total.add_(loss.detach())

        graph, _ = self.capture(step)
        while True:
            order = torch.randperm(len(x), device="cuda").split(batch)
            total.zero_()
            torch.cuda.synchronize()
            start = time.perf_counter()
            for indices in order:
                chosen.copy_(indices)
                graph.replay()
            loss = total.item()  # waits
            yield time.perf_counter() - start, loss / steps

    def infer(self, images):
        torch = self.torch
        host = self.tensor(images).pin_memory()
        x = host.cuda()
        self.network.eval()

        def predict():
            with torch.inference_mode():
                return self.functional.softmax(self.run(x), 1)

        graph, given = self.capture(predict)

        def call():
            x.copy_(host, non_blocking=True)
            graph.replay()
            return given.cpu().numpy()

        return call


if __name__ == "__main__":
    rival.main(sys.modules[__name__])
