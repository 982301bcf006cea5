"""Checks the arithmetic and the tables of report.py on figures made up for it. Usage: check_report.py"""
import sys

import report


def line(ms, least, parameters=10, losses=(2.0, 1.0)):
    return {"version": "1", "variant": "plain", "platform": "P", "driver": "D", "parameters": parameters, "ms": ms, "ms_least": least,
            "first_loss": losses[0], "last_loss": losses[1]}


def results(rounds, machine="M", skipped=None):
    return {"machine": machine, "date": "2026-01-02", "skipped": skipped or {},
            "cells": [{"task": "train", "model": "m", "batch": 8, "parameters": 10, "rounds": rounds}]}


def main():
    wrong = []

    def expect(what, found, wanted):
        if found != wanted:
            wrong.append("%s is %r, not %r" % (what, found, wanted))

    # ratios are taken in each round: 3, 2 and 5; of the medians, 6 / 2, they would be 3 as well, but not for keras: 4, 4, 1
    rounds = [{"inkling": line(2, 1.5), "torch": line(6, 6), "keras": line(8, 7)},
              {"inkling": line(4, 3), "torch": line(8, 7), "keras": line(16, 12)},
              {"inkling": line(1, 1), "torch": line(5, 4), "keras": line(1, 0.5)}]
    made = results(rounds, skipped={"tinygrad": "tinygrad is not here"})
    cell = made["cells"][0]
    expect("PyTorch's figure", report.figure(cell, "torch"), "6, 3.00x (2.00 to 5.00)")
    expect("Keras's figure", report.figure(cell, "keras"), "8, 4.00x (1.00 to 4.00)")
    expect("Inkling's figure", report.figure(cell, "inkling"), "2")
    expect("the figure of an absent program", report.figure(cell, "tinygrad"), "")
    expect("the fastest", report.closest(cell), "3.00x")
    expect("the fastest by least times", report.closest_of_least(cell), "0.50x")
    expect("complaints", report.disagreements(made), [])
    row = "| m | 8 | 2 | 6, 3.00x (2.00 to 5.00) | 8, 4.00x (1.00 to 4.00) | 3.00x | 0.50x |"
    expect("the row in the README's table", row in report.markdown(made).splitlines(), True)
    expect("what is skipped in the text", "skipped: tinygrad is not here" in report.text(made).splitlines(), True)

    # a round in which a program failed leaves the others
    partly = results([{"inkling": line(2, 2)}, {"inkling": line(2, 2), "torch": line(3, 3)}])
    expect("a figure of one round", report.figure(partly["cells"][0], "torch"), "3, 1.50x (1.50 to 1.50)")
    alone = results([{"inkling": line(2, 2)}])
    expect("the fastest of none", report.closest(alone["cells"][0]), "")

    expect("complaints of another network", len(report.disagreements(results([{"torch": line(1, 1, parameters=11)}]))), 1)
    expect("complaints of a loss that rises", len(report.disagreements(results([{"torch": line(1, 1, losses=(1.0, 1.5))}]))), 1)
    expect("complaints of a loss that is no number", len(report.disagreements(results([{"torch": line(1, 1, losses=(1.0, float("nan")))}]))), 1)

    expect("cells of two files", len(report.merge([made, partly])["cells"]), 2)
    try:
        report.merge([made, results(rounds, machine="N")])
        wrong.append("figures of two machines are merged")
    except SystemExit:
        pass
    for complaint in wrong:
        print(complaint)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
