"""Holds the comparison's reading of model texts against the tool's: layers, output shapes, parameters and FLOPs.

Usage: check_models.py TOOL MODEL_FOLDER. Every .txt of the folder is read by model_text.py and by 'TOOL summary --json',
and reference.txt has to be the tool's built-in reference model. Texts with a mistake have to be refused by both.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import model_text

# Ops and keys that the models of the folder leave out; pad=same with an odd pixel, and windows that overlap.
OTHERS = """
input 27x30x4
conv 8 3x5 stride=2x3 pad=same groups=2 leaky_relu slope=0.2
average_pool 3x2 stride=2 pad=1,0,1,0
a: conv 12 3x3 pad=2 dilation=2 bias=no init=he_uniform
batch_norm momentum=0.8 epsilon=1e-3
activation tanh
add sigmoid with=a
dropout 0.25
flatten
dense 7 relu bias=no from=a   # a comment
dense 3
"""

WRONG = ["", "conv 8 3x3\n", "input 28x28x1\nconvolve 8 3x3\n", "input 28x28x1\nconv 8 3x3 pads=1\n",
         "input 28x28x1\nconv 8 3x3 pad=1,1\n", "input 28x28x1\nconv 8 33x3\n", "input 28x28x1\nconv 8 3x3\nadd with=nowhere\n",
         "input 28x28x1\nconv 8 3x3\nadd with=input\n", "input 28x28x1\nconv 8\n", "input 28x28x1\nadd\n"]


def summary(tool, *words):
    done = subprocess.run([tool, "summary", "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, check=False, timeout=60)
    return json.loads(done.stdout) if done.returncode == 0 else None


def differences(model, told):
    """What differs between a Model and the tool's summary of it."""
    wrong = []
    if len(model.layers) != len(told["layers"]):
        return ["%d layers, %d in the tool" % (len(model.layers), len(told["layers"]))]
    for mine, its in zip(model.layers, told["layers"]):
        pairs = (("name", mine.name, its["name"]), ("op", mine.op, its["op"]), ("output", list(mine.output), its["output"]),
                 ("parameters", mine.parameters, its["parameters"]), ("flops", int(mine.flops), its["flops"]))
        wrong += ["%s: %s is %s, %s in the tool" % (mine.name, what, a, b) for what, a, b in pairs if a != b]
    for what, a, b in (("input", list(model.input), told["input"]), ("parameters", model.parameters, told["parameters"])):
        wrong += ["%s is %s, %s in the tool" % (what, a, b)] if a != b else []
    return wrong


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tool, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    wrong = []
    paths = sorted(folder.glob("*.txt"))
    if not {"reference", "lenet5", "conv6", "residual8"} <= {path.stem for path in paths}:
        wrong.append("%s lacks models of the comparison" % folder)
    with tempfile.TemporaryDirectory() as scratch:
        others = pathlib.Path(scratch, "others.txt")
        others.write_text(OTHERS, encoding="utf-8")
        for path in paths + [others]:
            told = summary(tool, "--model", str(path))
            found = differences(model_text.load(path), told) if told else ["the tool does not read it"]
            print("%s: %s" % (path.name, "; ".join(found) or "%d layers, the same" % len(told["layers"])))
            wrong += found
            if path.stem == "reference" and told:
                built_in = summary(tool)
                wrong += differences(model_text.load(path), built_in)
        for text in WRONG:
            path = pathlib.Path(scratch, "wrong.txt")
            path.write_text(text, encoding="utf-8")
            try:
                model_text.load(path)
                wrong.append("%r is taken by the comparison" % text)
            except model_text.ModelError:
                pass
            if summary(tool, "--model", str(path)):
                wrong.append("%r is taken by the tool" % text)
    for line in wrong:
        print("wrong: " + line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
