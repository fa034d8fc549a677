"""Other detectors on the series that the study of this crate exports.

    cargo run -p changepoints --example power -- export /tmp/series
    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install --require-hashes --only-binary :all: -r shared/changepoints/study/requirements.txt
    /tmp/peers/bin/python shared/changepoints/study/peers.py /tmp/series

Prints the share of series with a change within 5 runs of the true one in its direction (both ends of a bump), and the
share with changes elsewhere only; for series without a change, these are false alarms. Every detector sees the same
series, with its own defaults where it has any; changes of less than 5 % of the mean and 2 s are left out, as here.
"""

import statistics
import sys
from pathlib import Path

import numpy as np
import ruptures
from otava.analysis import compute_change_points, compute_change_points_orig

SIDE = 12
MAX_ERROR = 5


def otava(values):
    """Apache Otava with its defaults: windows of 50, p <= 0.001."""
    points, _ = compute_change_points(values, window_len=50, max_pvalue=0.001)
    return [point.index for point in points]


def e_divisive(values):
    """E-divisive as MongoDB published it: 100 permutations, p <= 0.05, over the whole series."""
    points, _ = compute_change_points_orig(values, max_pvalue=0.05, seed=1)
    return [point.index for point in points]


def kernel_cpd(values):
    """KernelCPD with a radial kernel; the usual penalty, 2 log n times the kernel's variance, which is about 1."""
    found = ruptures.KernelCPD(kernel="rbf", min_size=SIDE).fit(np.array(values)).predict(pen=2 * np.log(len(values)))
    return found[:-1]


def perfherder(values):
    """Perfherder's rule: the 12 runs before and after a run differ by t >= 7; of adjacent ones, the largest."""
    found = []
    best = None
    for at in range(SIDE, len(values) - SIDE + 1):
        before, after = values[at - SIDE : at], values[at : at + SIDE]
        spread = ((statistics.variance(before) + statistics.variance(after)) / SIDE) ** 0.5
        t = abs(statistics.mean(after) - statistics.mean(before)) / spread
        if t < 7:
            best = None
        elif best is None or t > best:
            found = found[:-1] if best is not None else found
            best = t
            found.append(at)
    return found


def bencher(values):
    """Bencher's t-test: a run outside of the 99 % prediction interval of the 64 before it; the first of several."""
    found = []
    for at in range(30, len(values)):
        before = values[max(0, at - 64) : at]
        bound = 2.65 * statistics.stdev(before)
        if abs(values[at] - statistics.mean(before)) > bound and (not found or at - found[-1] > SIDE):
            found.append(at)
    return found


DETECTORS = [otava, e_divisive, kernel_cpd, perfherder, bencher]


def large_enough(values, found):
    """Keeps the changes of the mean by at least 5 % and 2 s, with the mean after each."""
    bounds = [0, *sorted(found), len(values)]
    kept = []
    for start, at, end in zip(bounds, bounds[1:], bounds[2:]):
        before, after = statistics.mean(values[start:at]), statistics.mean(values[at:end])
        if abs(after - before) >= max(2, 0.05 * before):
            kept.append((at, after > before))
    return kept


def main(folder):
    """Prints a row per kind of series."""
    kinds = {}
    for path in sorted(Path(folder).iterdir()):
        kind, truth, _ = path.name.split(".")
        kinds.setdefault((kind, int(truth)), []).append([float(line) for line in path.read_text().split()])
    print("| series |", " | ".join(detector.__name__ for detector in DETECTORS), "|")
    print("|---|" + "---:|" * len(DETECTORS))
    for (kind, truth), all_series in kinds.items():
        wanted = [(500, True), (520, False)] if kind == "bump" else [(truth, True)] if truth else []
        cells = []
        for detector in DETECTORS:
            found = elsewhere = 0
            for values in all_series:
                changes = large_enough(values, detector(values))
                near = lambda at, up: any(abs(index - at) <= MAX_ERROR and slower == up for index, slower in changes)
                if wanted and all(near(at, up) for at, up in wanted):
                    found += 1
                elif changes:
                    elsewhere += 1
            count = len(all_series)
            cells.append(f"{100 * found / count:.0f} + {100 * elsewhere / count:.0f} %")
        print(f"| {kind} |", " | ".join(cells), "|", flush=True)


main(sys.argv[1])
