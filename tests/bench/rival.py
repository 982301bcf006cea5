"""What the rivals of Inkling share: command line, MNIST, and the rules of timing, which are those of bench.c.

A rival is a module with NAME (as printed), VARIANTS (of each task that it can do, name: whether it is quick enough to be
tried unasked), GPU_VARIANTS (the same on a GPU, where it can use one), and prepare(model, variant, threads), which imports its package and gives an object with versions (text),
parameters (a count), and

    train(images, labels, batch, steps)   an iterator; each next() runs a chunk of steps: (seconds, mean loss)
    infer(images)                         a function that runs one batch, to numpy probabilities

images are float32 [count][height][width][channels], 0 to 1. A package that is absent makes a JSON line that says so.
"""
import argparse
import gzip
import json
import os
import pathlib
import statistics
import sys
import time

import model_text

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLS_LEAST = 5


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def read_idx(folder, name):
    """The bytes of an IDX file, plain or with .gz, as an array."""
    import numpy
    path = pathlib.Path(folder, name)
    data = path.read_bytes() if path.exists() else gzip.decompress(pathlib.Path(folder, name + ".gz").read_bytes())
    dims = [int.from_bytes(data[4 * i + 4:4 * i + 8], "big") for i in range(data[3])]
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * len(dims)).reshape(dims)


def read_mnist(folder, split):
    images = read_idx(folder, split + "-images-idx3-ubyte")
    return images[..., None].astype("float32") / 255, read_idx(folder, split + "-labels-idx1-ubyte")


def time_parts(next_seconds, seconds, warm_up, least):
    """Seconds of each part; parts are run untimed until warm_up seconds have passed, and one at least."""
    warm = 0.0
    while warm == 0.0 or warm < warm_up:
        warm += next_seconds()
    times = []
    while len(times) < least or sum(times) < seconds:
        times.append(next_seconds())
    return times


def time_training(program, arguments, batch):
    images, labels = read_mnist(arguments.data, "train")
    count = batch * arguments.steps
    if count > len(images):
        sys.exit("%d steps of %d images are more than the %d of the data set" % (arguments.steps, batch, len(images)))
    chunks = program.train(images[:count], labels[:count].astype("int64"), batch, arguments.steps)
    losses = []

    def chunk():
        seconds, loss = next(chunks)
        losses.append(loss)
        return seconds

    times = time_parts(chunk, arguments.seconds, arguments.warm_up, 1)
    return times, arguments.steps, {"first_loss": losses[0], "last_loss": losses[-1]}


def time_inference(program, arguments, batch):
    images, _ = read_mnist(arguments.data, "t10k")
    images = images[:batch].copy()
    call = program.infer(images)

    def once():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return time_parts(once, arguments.seconds, arguments.warm_up, CALLS_LEAST), 1, {}


def main(rival):
    parser = argparse.ArgumentParser(description=rival.__doc__)
    parser.add_argument("task", choices=list(rival.VARIANTS))
    parser.add_argument("--model", required=True, help="the text form of a model")
    parser.add_argument("--batch", type=lambda text: [int(part) for part in text.split(",")], default=[128])
    parser.add_argument("--steps", type=int, default=100, help="of a chunk that is timed as one")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--variant", help="of %s, on a GPU %s" % tuple(
        {task: list(names) for task, names in getattr(rival, where, {}).items()} for where in ("VARIANTS", "GPU_VARIANTS")))
    parser.add_argument("--data", default=str(ROOT / "data" / "mnist"))
    arguments = parser.parse_args()
    variants = list(rival.VARIANTS[arguments.task]) + list(getattr(rival, "GPU_VARIANTS", {}).get(arguments.task, {}))
    arguments.variant = arguments.variant or variants[0]
    if arguments.variant not in variants:
        parser.error("there is no variant '%s' of %s" % (arguments.variant, arguments.task))
    for batch in arguments.batch:
        try:
            model = model_text.load(arguments.model)
            program = rival.prepare(model, arguments.variant, cores())
            run = time_training if arguments.task == "train" else time_inference
            times, parts, more = run(program, arguments, batch)
        except ImportError as error:
            print(json.dumps({"skip": "%s is not here: %s" % (rival.NAME, error)}))
            return
        except (model_text.ModelError, OSError) as error:
            sys.exit("%s: %s" % (rival.NAME, error))
        line = {"program": rival.NAME, "version": program.versions, "variant": arguments.variant, "task": arguments.task,
                "batch": batch, "parameters": program.parameters, "timed": len(times) * parts,
                "ms": 1e3 * statistics.median(times) / parts, "ms_least": 1e3 * min(times) / parts}
        print(json.dumps({**line, **more}), flush=True)


def refuse(layer, program):
    what = "its activation '%s'" % layer.activation if layer.activation else "the op"
    raise model_text.ModelError("layer '%s' (%s): %s cannot be built with %s yet" % (layer.name, layer.op, what, program))
