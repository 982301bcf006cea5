"""Inkling beside PyTorch, Keras, ONNX Runtime and tinygrad: same models, data, batches and threads, in turns.

    python3 tests/bench/compare.py [--models conv6,lenet5] [--rounds 5] [--json FILE] [--markdown FILE]
    python3 tests/bench/compare.py --from FILE [--from FILE] --markdown FILE      the tables of earlier runs

Every program is a process of its own, on all cores of the CPU. Each first tries its variants briefly, and the fastest
goes into the rounds; Inkling, which trains with what it has measured, measures for --tune seconds. Round r runs each program once, so that a ratio is of figures taken side by side. A
training figure is milliseconds a step, steps alone: no start-up, no warm-up, no test. An inference figure is
milliseconds a call. All have to have as many parameters as the model has, and every loss has to fall. A package that is
absent is skipped, and told. Exit status 1 where a program failed or did not agree.
"""
import argparse
import datetime
import importlib
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import tempfile

import model_text
import report
import rival

HERE = pathlib.Path(__file__).resolve().parent
RIVALS = ("torch", "keras", "onnxruntime", "tinygrad")
USUAL = RIVALS[:3]  # tinygrad takes minutes
CHUNK_FLOPS = 30e9  # of steps timed as one: a few tenths of a second on two cores of a CPU
STEPS_LEAST, TRIAL_STEPS_LEAST, TRAINING_IMAGES = 10, 5, 60000
BACKWARD = 3         # a step's FLOPs, beside those of its forward pass
# Inkling's ways, as the rivals' VARIANTS: settings of the OpenCL driver. PoCL's basic device computes in the thread that asks.
SETTINGS = {"all cores": {}, "calling thread": {"POCL_DEVICES": "basic"}}


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class Comparison:
    def __init__(self, arguments):
        self.arguments = arguments
        self.skipped, self.failures, self.cells = {}, [], []
        self.cache = tempfile.TemporaryDirectory()  # of what Inkling measures

    def command(self, program, task, model, batches, variant, steps, seconds, warm_up):
        start = [self.arguments.inkling] if program == "inkling" else [sys.executable, str(HERE / ("rival_%s.py" % program))]
        command = shlex.split(self.arguments.under) + start + [
            task, "--model", str(model), "--batch", ",".join(map(str, batches)), "--steps", str(steps), "--seconds", str(seconds),
            "--warm-up", str(warm_up), "--data", self.arguments.data]
        if program == "inkling":
            tuning = ["--tune", str(self.arguments.tune)] if variant == "tune" else []
            return command + ["--device", self.arguments.device] + tuning
        return command + ["--variant", variant]

    def skip(self, program, why):
        if program not in self.skipped:
            print("skipped: " + why, flush=True)
        self.skipped[program] = why

    def run(self, program, *how):
        """The lines that a program prints, by batch; none where it is skipped or fails."""
        if program in self.skipped:
            return {}
        command = self.command(program, *how)
        setting = SETTINGS.get(how[3], {}) if program == "inkling" else {}
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, check=False,
                                  timeout=self.arguments.limit, env={**os.environ, "INKLING_CACHE_DIR": self.cache.name, **setting})
            lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            failed = done.returncode != 0 and "exit status %d: %s" % (done.returncode, " ".join(done.stderr.split("\n")[-4:]))
        except subprocess.TimeoutExpired:
            lines, failed = [], "took more than %d s" % self.arguments.limit
        if failed:
            self.failures.append("%s: %s" % (" ".join(command), failed))
            print("failed: " + self.failures[-1], flush=True)
        for line in lines:
            if "skip" in line:
                self.skip(program, line["skip"])
        return {line["batch"]: {"variant": how[3], **line} for line in lines if "batch" in line}

    def best_variants(self, program, task, model, batches, steps):
        """The fastest variant for each batch, and all that was tried."""
        if program == "inkling":
            variants = {name: task == "infer" and not self.arguments.gpu or not setting for name, setting in SETTINGS.items()}
        else:
            module = importlib.import_module("rival_" + program)
            if self.arguments.gpu and not hasattr(module, "GPU_VARIANTS"):
                self.skip(program, "%s has no way to use a GPU here" % module.NAME)
                return {}, []
            variants = (module.GPU_VARIANTS if self.arguments.gpu else module.VARIANTS).get(task, {})
        chosen = [name for name, quick in variants.items() if quick or self.arguments.all_variants]
        if len(chosen) == 1 or (chosen and self.arguments.no_trials):
            return {batch: chosen[0] for batch in batches}, []
        best, trials = {}, []
        for name in chosen:
            for batch, line in self.run(program, task, model, batches, name, max(steps // 4, TRIAL_STEPS_LEAST), 0.5, 0.5).items():
                trials.append(line)
                if batch not in best or line["ms"] < best[batch]["ms"]:
                    best[batch] = line
        return {batch: line["variant"] for batch, line in best.items()}, trials

    def group(self, task, model, batches):
        """Runs all programs on some batches of a model, in rounds."""
        arguments = self.arguments
        loaded = model_text.load(model)
        steps = max(STEPS_LEAST, int(CHUNK_FLOPS / (BACKWARD * loaded.flops * max(batches))))
        steps = max(1, min(steps, TRAINING_IMAGES // max(batches)))
        seconds = arguments.seconds if task == "train" else arguments.seconds / 3
        if task == "train" and arguments.tune:
            for batch in batches:
                self.run("inkling", task, model, [batch], "tune", TRIAL_STEPS_LEAST, 0.1, 0.1)
        runs, trials = [], []
        for program in ["inkling"] + arguments.programs:
            best, tried = self.best_variants(program, task, model, batches, steps)
            trials += tried
            for variant in sorted(set(best.values())):
                runs.append((program, [batch for batch in batches if best.get(batch) == variant], variant))
        cells = {batch: {"task": task, "model": model.stem, "batch": batch, "parameters": loaded.parameters, "rounds": [],
                         "trials": [line for line in trials if line["batch"] == batch]} for batch in batches}
        for _ in range(arguments.rounds):
            found = {batch: {} for batch in batches}
            for program, its_batches, variant in runs:
                for batch, line in self.run(program, task, model, its_batches, variant, steps, seconds, arguments.warm_up).items():
                    found[batch][program] = line
            for batch in batches:
                cells[batch]["rounds"].append(found[batch])
        self.cells += cells.values()

    def results(self):
        devices = {found["inkling"]["device"] for cell in self.cells for found in cell["rounds"] if "inkling" in found}
        where = ", ".join(sorted(devices)) + " beside " if self.arguments.gpu and devices else ""
        return {"machine": "%s%s, %d cores, %s" % (where, cpu_name(), rival.cores(), platform.system()),
                "date": datetime.date.today().isoformat(), "skipped": self.skipped, "cells": self.cells}


def words(text):
    return [word for word in text.split(",") if word]


def numbers(text):
    return [int(word) for word in words(text)]


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inkling", default=str(rival.ROOT / "build" / "tests" / "bench" / "bench"), help="the built bench")
    parser.add_argument("--models", type=words, default=["reference", "lenet5", "conv6", "residual8"], help="names of data/models, or files")
    parser.add_argument("--train", type=numbers, default=[128, 32], help="batches to train at; '' for none")
    parser.add_argument("--infer", type=numbers, default=[1, 8, 32, 128, 1000], help="batches to predict at; '' for none")
    parser.add_argument("--infer-models", type=words, default=["reference"])
    parser.add_argument("--programs", type=words, default=list(USUAL), help="rivals, of %s" % ", ".join(RIVALS))
    parser.add_argument("--all-variants", action="store_true", help="try slow variants too, as torch.compile")
    parser.add_argument("--no-trials", action="store_true", help="take each rival's first variant")
    parser.add_argument("--tune", type=float, default=60, help="seconds that Inkling may measure its algorithms for, each model and batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="timed in a run of training; a third of it a batch of inference")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before timing; one chunk of steps at least")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds a run may take in all")
    parser.add_argument("--data", default=str(rival.ROOT / "data" / "mnist"))
    parser.add_argument("--device", help="of Inkling: cpu unless told, with --gpu gpu")
    parser.add_argument("--gpu", action="store_true", help="on the GPU, rivals too; those that cannot are skipped")
    parser.add_argument("--under", default="", help="command to run every program under, for example 'taskset -c 0,1'")
    parser.add_argument("--json", help="write the figures of all rounds to a file")
    parser.add_argument("--markdown", help="write the tables of the README to a file")
    parser.add_argument("--from", dest="earlier", action="append", default=[], help="a file of --json: tell it instead of running")
    arguments = parser.parse_args()
    arguments.device = arguments.device or ("gpu" if arguments.gpu else "cpu")
    unknown = set(arguments.programs) - set(RIVALS)
    if unknown:
        parser.error("unknown rivals: %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(RIVALS)))
    if not arguments.earlier and not os.access(arguments.inkling, os.X_OK):
        parser.error("%s is not there; build it ('ninja -C build'), or name it with --inkling" % arguments.inkling)
    return arguments


def write(path, text):
    if path:
        aside = path + ".part"
        pathlib.Path(aside).write_text(text, encoding="utf-8")
        os.replace(aside, path)


def find_model(name):
    return pathlib.Path(name) if name.endswith(".txt") else rival.ROOT / "data" / "models" / (name + ".txt")


def main():
    arguments = read_arguments()
    comparison = Comparison(arguments)
    if arguments.earlier:
        results = report.merge([json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in arguments.earlier])
    else:
        groups = [("train", name, [batch]) for name in arguments.models for batch in arguments.train]
        groups += [("infer", name, arguments.infer) for name in arguments.infer_models if arguments.infer]
        for task, name, batches in groups:
            comparison.group(task, find_model(name), batches)
            print(report.text({**comparison.results(), "cells": comparison.cells[-len(batches):]}), flush=True)
            write(arguments.json, json.dumps(comparison.results(), indent=1))  # kept when a later group is interrupted
        results = comparison.results()
    disagreements = report.disagreements(results)
    print(report.text(results))
    for line in comparison.failures + disagreements:
        print("wrong: " + line)
    write(arguments.json, json.dumps(results, indent=1))
    write(arguments.markdown, report.markdown(results))
    sys.exit(1 if comparison.failures or disagreements else 0)


if __name__ == "__main__":
    try:
        main()
    except (model_text.ModelError, OSError) as error:
        sys.exit("compare.py: %s" % error)
