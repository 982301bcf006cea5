"""The figures of a comparison as ratios and tables.

A ratio is a rival's time over Inkling's in the same round, above 1 where Inkling is faster; told are the median of the
rounds and, in brackets, the lowest and highest.
"""
import statistics

NAMES = {"inkling": "Inkling", "torch": "PyTorch", "keras": "Keras", "onnxruntime": "ONNX Runtime", "tinygrad": "tinygrad"}
TITLES = {"train": "training", "infer": "inference"}
UNITS = {"train": "ms a step", "infer": "ms a call"}


def merge(all_results):
    """Several results as one; the machines have to be the same."""
    machines = sorted({results["machine"] for results in all_results})
    if len(machines) > 1:
        raise SystemExit("figures of different machines cannot go into one table: " + "; ".join(machines))
    merged = {"machine": machines[0], "date": max(results["date"] for results in all_results), "skipped": {}, "cells": []}
    for results in all_results:
        merged["skipped"].update(results["skipped"])
        merged["cells"] += results["cells"]
    return merged


def times(cell, program):
    return [found[program]["ms"] for found in cell["rounds"] if program in found]


def ratios(cell, program):
    return [found[program]["ms"] / found["inkling"]["ms"] for found in cell["rounds"] if program in found and "inkling" in found]


def lines_of(cell, program):
    return [found[program] for found in cell["rounds"] if program in found]


def programs_of(cells):
    return [program for program in NAMES if any(times(cell, program) for cell in cells)]


def figure(cell, program):
    """Median milliseconds and the ratio; "" where the program has none."""
    taken = times(cell, program)
    if not taken:
        return ""
    text = "%.3g" % statistics.median(taken)
    compared = ratios(cell, program)
    if program != "inkling" and compared:
        text += ", %.2fx (%.2f to %.2f)" % (statistics.median(compared), min(compared), max(compared))
    return text


def closest(cell):
    """The lowest of the rivals' median ratios: beside the fastest of them."""
    medians = [statistics.median(ratios(cell, program)) for program in NAMES if program != "inkling" and ratios(cell, program)]
    return "%.2fx" % min(medians) if medians else ""


def closest_of_least(cell):
    """The same of the shortest times of all rounds, which other work on the machine disturbs least."""
    least = {program: min(line["ms_least"] for line in lines_of(cell, program)) for program in programs_of([cell])}
    own = least.pop("inkling", None)
    return "%.2fx" % (min(least.values()) / own) if own and least else ""


def table(cells):
    programs = programs_of(cells)
    rows = [["model", "batch"] + [NAMES[program] for program in programs] + ["beside the fastest", "by least times"]]
    for cell in cells:
        rows.append([cell["model"], str(cell["batch"])] + [figure(cell, program) for program in programs] +
                    [closest(cell), closest_of_least(cell)])
    return rows


def versions(results):
    """A line a program: its version, and the variants that the figures are of."""
    told = []
    for program in programs_of(results["cells"]):
        lines = [line for cell in results["cells"] for line in lines_of(cell, program)]
        version = ", ".join(sorted({line["version"] for line in lines}))
        if program == "inkling":
            version += " on " + ", ".join(sorted({line["platform"] + " " + line["driver"] for line in lines}))
        told.append("%s %s (%s)" % (NAMES[program], version, ", ".join(sorted({line["variant"] for line in lines}))))
    return told


def rounds(results):
    return "%d" % max((len(cell["rounds"]) for cell in results["cells"]), default=0)


def text(results):
    """For a terminal: tables, parameters and losses, versions."""
    out = ["%s, %s; medians of %s rounds" % (results["machine"], results["date"], rounds(results))]
    for task, title in TITLES.items():
        cells = [cell for cell in results["cells"] if cell["task"] == task]
        if not cells:
            continue
        rows = table(cells)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        out += ["", "%s, %s, and times Inkling's (lowest to highest of the rounds)" % (title, UNITS[task])]
        out += ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]
    out.append("")
    for cell in results["cells"]:
        told = []
        for program in programs_of([cell]):
            line = lines_of(cell, program)[-1]
            variant = " (%s)" % line["variant"] if "variant" in line else ""
            loss = ", loss %.3f to %.3f" % (line["first_loss"], line["last_loss"]) if "first_loss" in line else ""
            told.append("%s%s %d parameters%s" % (NAMES[program], variant, line["parameters"], loss))
        out.append("%s at %d, %s: %s" % (cell["model"], cell["batch"], TITLES[cell["task"]], "; ".join(told)))
    out += versions(results) + ["skipped: " + why for why in results["skipped"].values()]
    return "\n".join(out) + "\n"


def markdown(results):
    """For the README."""
    out = ["Measured on %s, %s, by `tests/bench/compare.py`: %s. Each program is a process of its own on all cores, in turns; medians"
           % (results["machine"], results["date"], "; ".join(versions(results))),
           "of %s rounds. Behind each time stands its ratio to Inkling's, median (lowest to highest of the rounds); the last column has the"
           % rounds(results), "shortest times of all rounds."]
    for task, title in TITLES.items():
        cells = [cell for cell in results["cells"] if cell["task"] == task]
        if not cells:
            continue
        rows = table(cells)
        out += ["", "%s, %s:" % (title.capitalize(), UNITS[task]), ""]
        out += ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
        out += ["| " + " | ".join(row) + " |" for row in rows[1:]]
    return "\n".join(out) + "\n"


def disagreements(results):
    """What shows that programs did not run the same network, or did not learn."""
    wrong = []
    for cell in results["cells"]:
        where = "%s at %d, %s" % (cell["model"], cell["batch"], TITLES[cell["task"]])
        for program in programs_of([cell]):
            for line in lines_of(cell, program):
                if line["parameters"] != cell["parameters"]:
                    wrong.append("%s: %s has %d parameters, not %d" % (where, NAMES[program], line["parameters"], cell["parameters"]))
                if "first_loss" in line and not line["last_loss"] < line["first_loss"]:
                    wrong.append("%s: the loss of %s went from %g to %g" % (where, NAMES[program], line["first_loss"], line["last_loss"]))
    return wrong
