#!/usr/bin/env python3
"""Makes the golden files: what PyTorch computes, in float64, for two models with fixed weights on real MNIST.

    python3 tests/golden/make_reference.py      needs torch, numpy, safetensors; writes beside itself

reference.safetensors            the reference model: weights, logits, loss, losses
reference_gradients.safetensors  the gradient of that loss for every weight, in the same names
mixed.safetensors                a model of the other operations: weights, logits, loss, gradients, losses

The files in the tree were made with Python 3.11.7, torch 2.15.0+cu132 (on the CPU, one thread), numpy 2.4.6 and
safetensors 0.8.0; each file's metadata says so again. Seeds: WEIGHT_SEED below, for numpy's PCG64.

Data: batch i is samples 32 i to 32 i + 31 of the training files, in file order, as byte / 255 in float64. Weights
are drawn in the order of the layer lists below (weights before bias, gamma before beta): convolution and dense
weights Glorot uniform, biases even in +-0.05, gamma in 1 +- 0.2, beta in +-0.1; they are rounded to float32 once,
and the computation starts from the rounded values. All else is float64 and rounded to float32 when it is stored.

Tensors, in the layouts of inkling.h (NHWC, HWIO, dense [inputs][units], flattened in NHWC order):
  <layer>.weights, .bias, .gamma, .beta     where training starts
  gradient.<the same>                       of loss, on batch 0 (reference_gradients.safetensors: without "gradient.")
  logits [32][10]                           batch 0, starting weights, training mode
  loss [1], sample_losses [32]              the mean loss, and that of each sample
  losses [20]                               reference: losses[i] is that of batch i, before the step that it gives;
                                            Adam, lr 1e-3, betas 0.9 and 0.999, epsilon 1e-7
  losses.sgd [10], losses.adamw [10]        mixed: the same for SGD (lr 0.05, momentum 0.9, Nesterov, weight decay
                                            5e-4 added to the gradient) and AdamW (lr 3e-3, betas and epsilon as
                                            above, decoupled weight decay 0.05), on every parameter
  sgd.<norm>.mean, .variance                mixed: the running statistics after the ten SGD steps
  sgd.logits [32][10]                       mixed: batch 0 in inference mode after the ten SGD steps

Choices that frameworks make differently, as made here and in the library:
  - batch norm normalises with the biased variance and keeps the running one unbiased (times n / (n - 1)), as PyTorch
    does (Keras keeps the biased one). The library's momentum is the share of the old value kept: 0.9 is torch's 0.1.
  - Adam adds epsilon to sqrt(v / (1 - beta2^t)), as PyTorch and Algorithm 1 of Kingma and Ba do.
  - average pooling does not count padding; "same" padding puts the odd pixel at the bottom and right.

Can float32 follow? Two things could make a correct float32 run differ by far more than its rounding errors:
  - A ReLU or maximum whose arguments differ by less than a rounding error may fall the other way and make a gradient
    jump. The script measures the closest calls on batch 0 and refuses weights that have one within MARGIN. Exact
    ties are harmless: they come from windows on the black rim, whose candidates see equal inputs, so that every
    weight's gradient is the same whoever wins.
  - Adam's first steps have the size of the learning rate however small the gradient is, so rounding errors of
    gradients near 0 are blown up; together with a close call, a run of 20 steps may end 1e-3 away. The seeds were
    searched for runs that do not: with rounding errors of JITTER times the size of float32's put into every weight
    and gradient at every step, JITTER_RUNS runs keep all losses within JITTER_LIMIT of the exact ones; the script
    checks that. (Of runs with 4 times the rounding errors, the eleventh left by 2e-3.) So a test may hold every loss
    to about 1e-5.
It also repeats everything in plain float32, and prints and keeps in the metadata how far that is off: the scale for
the tolerances of the tests.
"""

import functools
import gzip
import pathlib
import platform

import numpy
import safetensors
import safetensors.numpy
import torch
import torch.nn.functional as F

WEIGHT_SEED = {"reference": 127, "mixed": 348}
BATCH = 32
MARGIN = 2e-6  # of the root mean square; float32 sums of these lengths are off by less than 1e-6
JITTER, JITTER_RUNS, JITTER_LIMIT = 2.5, 12, 5e-6
HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "mnist"


@functools.cache
def batch(i, dtype):
    """Images [32][28][28][1] and labels of batch i."""
    images = numpy.frombuffer(gzip.open(DATA / "train-images-idx3-ubyte.gz").read(), numpy.uint8, offset=16)
    labels = numpy.frombuffer(gzip.open(DATA / "train-labels-idx1-ubyte.gz").read(), numpy.uint8, offset=8)
    rows = slice(i * BATCH, (i + 1) * BATCH)
    pixels = images.reshape(-1, 28, 28, 1)[rows].astype(numpy.float64) / 255
    return torch.from_numpy(pixels).to(dtype), torch.from_numpy(labels[rows].astype(numpy.int64))


def draw(kind, layers):
    """float32 weights for [(tensor name, shape, fan in, fan out)]; the fans of weights only."""
    random = numpy.random.Generator(numpy.random.PCG64(WEIGHT_SEED[kind]))
    weights = {}
    for name, shape, fans in layers:
        low, high = {"bias": (-0.05, 0.05), "gamma": (0.8, 1.2), "beta": (-0.1, 0.1)}.get(name.split(".")[1], (0, 0))
        if fans:
            high = (6 / sum(fans)) ** 0.5
            low = -high
        weights[name] = random.uniform(low, high, shape).astype(numpy.float32)
    return weights


def conv(x, weights, bias=None, pad=(0, 0, 0, 0), **options):
    """x NHWC, weights HWIO, pad (top, bottom, left, right)."""
    top, bottom, left, right = pad
    x = F.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom)).contiguous()
    y = F.conv2d(x, weights.permute(3, 2, 0, 1).contiguous(), bias, **options)
    return y.permute(0, 2, 3, 1)


class Margin:
    """The closest call of a ReLU or maximum, ties apart, relative to the root mean square of what it looks at."""

    def __init__(self):
        self.closest = float("inf")

    def note(self, gaps, x):
        gaps = gaps[gaps > 1e-12]
        if gaps.numel():
            self.closest = min(self.closest, (gaps.min() / x.square().mean().sqrt()).item())

    def relu(self, x, slope=0.0):
        with torch.no_grad():
            self.note(x.abs(), x)
        return F.leaky_relu(x, slope)

    def max_pool(self, x):
        x = x.permute(0, 3, 1, 2)
        with torch.no_grad():
            best = F.unfold(x.reshape(-1, 1, *x.shape[2:]), 2, stride=2).sort(1).values
            self.note(best[:, -1] - best[:, -2], x)
        return F.max_pool2d(x, 2).permute(0, 2, 3, 1)


class Reference:
    kind = "reference"
    smoothing = 0.0
    layers = [
        ("conv1.weights", (3, 3, 1, 32), (9, 288)), ("conv1.bias", (32,), None),
        ("conv2.weights", (3, 3, 32, 64), (288, 576)), ("conv2.bias", (64,), None),
        ("conv3.weights", (3, 3, 64, 64), (576, 576)), ("conv3.bias", (64,), None),
        ("dense1.weights", (576, 64), (576, 64)), ("dense1.bias", (64,), None),
        ("dense2.weights", (64, 10), (64, 10)), ("dense2.bias", (10,), None),
    ]

    def __init__(self, weights, dtype):
        self.p = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in weights.items()}
        self.margin = Margin()

    def __call__(self, x, training=True):
        p, relu, max_pool = self.p, self.margin.relu, self.margin.max_pool
        x = max_pool(relu(conv(x, p["conv1.weights"], p["conv1.bias"])))
        x = max_pool(relu(conv(x, p["conv2.weights"], p["conv2.bias"])))
        x = relu(conv(x, p["conv3.weights"], p["conv3.bias"])).flatten(1)
        x = relu(x @ p["dense1.weights"] + p["dense1.bias"])
        return x @ p["dense2.weights"] + p["dense2.bias"]


class Mixed:
    """  input    28 x 28 x 1
    stem     conv 8 5x5 stride 2 same, leaky ReLU 0.1        -> 14 x 14 x 8
    norm1    batch norm (momentum 0.9, epsilon 1e-5)
    grouped  conv 8 3x3 same, 2 groups, tanh
    sum      add grouped + norm1, ReLU
    pool     average pool 3x3 stride 2 same                  -> 7 x 7 x 8
    dilated  conv 12 3x3, dilation 2, padding top 2, bottom 1, left 1, right 2, no bias, sigmoid -> 6 x 6 x 12
    norm2    batch norm, tanh
    global   global average pool                             -> 12
    output   dense 10
    Loss: cross-entropy with label smoothing 0.1."""

    kind = "mixed"
    smoothing = 0.1
    layers = [
        ("stem.weights", (5, 5, 1, 8), (25, 200)), ("stem.bias", (8,), None),
        ("norm1.gamma", (8,), None), ("norm1.beta", (8,), None),
        ("grouped.weights", (3, 3, 4, 8), (36, 72)), ("grouped.bias", (8,), None),
        ("dilated.weights", (3, 3, 8, 12), (72, 108)),
        ("norm2.gamma", (12,), None), ("norm2.beta", (12,), None),
        ("output.weights", (12, 10), (12, 10)), ("output.bias", (10,), None),
    ]

    def __init__(self, weights, dtype):
        self.p = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in weights.items()}
        self.margin = Margin()
        self.running = {f"{norm}.{kind}": torch.full((size,), float(kind == "variance"), dtype=dtype)
                        for norm, size in (("norm1", 8), ("norm2", 12)) for kind in ("mean", "variance")}

    def norm(self, name, x, training):
        y = F.batch_norm(x.permute(0, 3, 1, 2).contiguous(), self.running[name + ".mean"],
                         self.running[name + ".variance"], self.p[name + ".gamma"], self.p[name + ".beta"],
                         training, momentum=1 - 0.9, eps=1e-5)
        return y.permute(0, 2, 3, 1)

    def average_pool(self, x):
        x = F.pad(x.permute(0, 3, 1, 2), (0, 1, 0, 1))
        inside = F.pad(torch.ones(1, 1, 14, 14, dtype=x.dtype), (0, 1, 0, 1))
        y = F.avg_pool2d(x, 3, 2, divisor_override=1) / F.avg_pool2d(inside, 3, 2, divisor_override=1)
        return y.permute(0, 2, 3, 1)

    def __call__(self, x, training=True):
        p, relu = self.p, self.margin.relu
        x = relu(conv(x, p["stem.weights"], p["stem.bias"], (1, 2, 1, 2), stride=2), 0.1)
        x = self.norm("norm1", x, training)
        y = torch.tanh(conv(x, p["grouped.weights"], p["grouped.bias"], (1, 1, 1, 1), groups=2))
        x = self.average_pool(relu(x + y))
        x = torch.sigmoid(conv(x, p["dilated.weights"], None, (2, 1, 1, 2), dilation=2))
        x = torch.tanh(self.norm("norm2", x, training)).mean((1, 2))
        return x @ p["output.weights"] + p["output.bias"]


def loss_of(model, i, dtype):
    images, labels = batch(i, dtype)
    logits = model(images)
    return logits, F.cross_entropy(logits, labels, label_smoothing=model.smoothing)


def first_batch(make, weights, dtype):
    """Logits, loss and every gradient of batch 0."""
    model = make(weights, dtype)
    logits, loss = loss_of(model, 0, dtype)
    loss.backward()
    losses = F.cross_entropy(logits, batch(0, dtype)[1], label_smoothing=model.smoothing, reduction="none")
    values = {"logits": logits, "loss": loss.reshape(1), "sample_losses": losses}
    return values, {k: v.grad for k, v in model.p.items()}, model.margin.closest


def train(make, weights, dtype, steps, optimizer, jitter=0.0, seed=0):
    """jitter: times what float32 rounds off: half a unit in the last place of weights, and in gradients 5e-7 (as the
    float32 run below shows) of their size or root mean square; gradients that are 0 have no rounding errors."""
    model = make(weights, dtype)
    optimizer = optimizer(model.p.values())
    random = torch.Generator().manual_seed(seed)
    losses = []
    for i in range(steps):
        optimizer.zero_grad()
        with torch.no_grad():
            for p in model.p.values():
                p.mul_(1 + jitter * 2**-24 * torch.randn(p.shape, generator=random, dtype=dtype))
        loss = loss_of(model, i, dtype)[1]
        losses.append(loss.item())
        loss.backward()
        for g in (p.grad for p in model.p.values()):
            size = torch.maximum(g.abs(), g.square().mean().sqrt()) * (g != 0)
            g.add_(jitter * 5e-7 * size * torch.randn(g.shape, generator=random, dtype=dtype))
        optimizer.step()
    return model, torch.tensor(losses, dtype=dtype)


def adam(p):
    return torch.optim.Adam(p, lr=1e-3, betas=(0.9, 0.999), eps=1e-7)


def sgd(p):
    return torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)


def adamw(p):
    return torch.optim.AdamW(p, lr=3e-3, betas=(0.9, 0.999), eps=1e-7, weight_decay=0.05)


def stability(make, weights):
    """How far losses move, relatively, in runs with jitter; the worst."""
    worst = 0.0
    for steps, optimizer in ((20, adam),) if make is Reference else ((10, sgd), (10, adamw)):
        exact = train(make, weights, torch.float64, steps, optimizer)[1]
        for seed in range(JITTER_RUNS):
            moved = train(make, weights, torch.float64, steps, optimizer, JITTER, seed)[1]
            worst = max(worst, (moved / exact - 1).abs().max().item())
    return worst


def everything(make, weights, dtype):
    values, gradients, closest = first_batch(make, weights, dtype)
    if make is Reference:
        values["losses"] = train(make, weights, dtype, 20, adam)[1]
    else:
        model, values["losses.sgd"] = train(make, weights, dtype, 10, sgd)
        values.update({f"sgd.{k}": v for k, v in model.running.items()})
        values["sgd.logits"] = model(batch(0, dtype)[0], training=False)
        values["losses.adamw"] = train(make, weights, dtype, 10, adamw)[1]
    values.update({f"gradient.{k}": v for k, v in gradients.items()})
    return {k: v.detach().numpy() for k, v in values.items()}, closest


def error(got, want):
    """The measure of tests/reference_compare.c."""
    rms = numpy.sqrt(numpy.square(want).mean())
    return (numpy.abs(got - want) / numpy.maximum(numpy.abs(want), rms)).max()


def write(path, tensors, origin):
    tensors = {k: numpy.ascontiguousarray(v, dtype=numpy.float32) for k, v in tensors.items()}
    safetensors.numpy.save_file(tensors, path, {"origin": origin})
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for make in (Reference, Mixed):
        weights = draw(make.kind, make.layers)
        values, closest = everything(make, weights, torch.float64)
        rough, _ = everything(make, weights, torch.float32)
        errors = {k: error(rough[k].astype(numpy.float64), v) for k, v in values.items()}
        print(f"{make.kind}: the closest call of a ReLU or maximum is {closest:.2g}; float32 is off by", flush=True)
        for k, e in errors.items():
            print(f"  {k:28} {e:.2g}")
        if closest < MARGIN:
            raise SystemExit(f"{make.kind}: closer than {MARGIN}: choose another seed")
        moved = stability(make, weights)
        print(f"  losses with {JITTER} times float32's rounding errors move by {moved:.2g}")
        if moved > JITTER_LIMIT:
            raise SystemExit(f"{make.kind}: by more than {JITTER_LIMIT}: choose another seed")
        origin = (  # one text: safetensors orders several as it likes, and the same run shall give the same bytes
            f"tests/golden/make_reference.py: seed {WEIGHT_SEED[make.kind]}, python {platform.python_version()}, "
            f"torch {torch.__version__}, numpy {numpy.__version__}, safetensors {safetensors.__version__}; "
            "float32 is off by " + ", ".join(f"{k} {e:.1e}" for k, e in errors.items()))
        gradients = {k: v for k, v in values.items() if k.startswith("gradient.")}
        if make is Reference:
            rest = {k: v for k, v in values.items() if k not in gradients}
            write(HERE / "reference.safetensors", {**weights, **rest}, origin)
            write(HERE / "reference_gradients.safetensors",
                  {k.removeprefix("gradient."): v for k, v in gradients.items()}, origin)
        else:
            write(HERE / "mixed.safetensors", {**weights, **values}, origin)


if __name__ == "__main__":
    main()
