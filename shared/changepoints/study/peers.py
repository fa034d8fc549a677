"""Other detectors on the series of the study of this crate, which runs this program and judges what it finds.

Each line of the standard input is a task: detectors, separated by commas; the number of runs to begin with; and the
series. Each detector sees the first so many runs, then one more, up to all. For each of these, a line is printed: the
seconds that it took and the first runs after the changes. Every detector has its own defaults where it has any.

The packages are those of requirements.txt; the rules of Perfherder and Bencher are written anew from their descriptions.
"""

import functools
import sys
import time

import numpy as np
import ruptures
from otava.analysis import compute_change_points, compute_change_points_orig
from scipy.stats import t as student

SIDE = 12


def otava(values):
    """Apache Otava with its defaults: windows of 50, p <= 0.001."""
    points, _ = compute_change_points(values, window_len=50, max_pvalue=0.001)
    return [point.index for point in points]


def e_divisive(values):
    """E-divisive as MongoDB published it: 100 permutations, p <= 0.05, over the whole series. Otava's copy of it."""
    points, _ = compute_change_points_orig(values, max_pvalue=0.05, seed=1)
    return [point.index for point in points]


def kernel_cpd(values):
    """KernelCPD with a radial kernel; the usual penalty, 2 log n times the kernel's variance, which is about 1."""
    found = ruptures.KernelCPD(kernel="rbf", min_size=SIDE).fit(np.array(values)).predict(pen=2 * np.log(len(values)))
    return found[:-1]


def perfherder(values):
    """Perfherder's rule: t > 7 between the 12 to 24 runs before and the 12 from a run on, the nearer ones with more
    weight; of neighbours, the largest."""
    values = np.array(values)
    scores = np.zeros(len(values))
    quiet = 0

    def weighted(part):
        weights = np.arange(len(part), 0, -1)
        mean = (part * weights).sum() / weights.sum()
        return mean, ((part - mean) ** 2).sum() / max(1, len(part) - 1) / len(part)

    for at in range(1, len(values)):
        before, after = values[max(0, at - min(max(quiet, SIDE), 2 * SIDE)) : at][::-1], values[at : at + SIDE]
        (left, left_error), (right, right_error) = weighted(before), weighted(after)
        if left != right:
            error = (left_error + right_error) ** 0.5
            scores[at] = abs(right - left) / error if error else np.inf
        quiet = 0 if scores[at] > 7 else quiet + 1
    return [
        at
        for at in range(SIDE, len(values) - SIDE + 1)
        if scores[at] > 7 and scores[at - 1] <= scores[at] and (at + 1 == len(values) or scores[at + 1] <= scores[at])
    ]


@functools.lru_cache
def quantile(count):
    """Returns the 99 % quantile of Student's t for so many runs."""
    return student.ppf(0.99, count - 1)


def bencher(values):
    """Bencher's t-test with the boundary of its examples, 0.99 on either side, and up to 64 runs before a run; a change
    is the first such run in twelve."""
    values = np.array(values)
    found = []
    for at in range(30, len(values)):
        before = values[max(0, at - 64) : at]
        bound = quantile(len(before)) * before.std(ddof=1)
        if abs(values[at] - before.mean()) > bound and (not found or at - found[-1] > SIDE):
            found.append(at)
    return found


DETECTORS = {detector.__name__: detector for detector in (otava, e_divisive, kernel_cpd, perfherder, bencher)}


def main():
    """Answers the tasks in their order."""
    for line in sys.stdin:
        names, first, *words = line.split()
        values = [float(word) for word in words]
        for name in names.split(","):
            for count in range(int(first), len(values) + 1):
                start = time.perf_counter()
                found = DETECTORS[name](values[:count])
                print(time.perf_counter() - start, *(int(at) for at in found))
        sys.stdout.flush()


main()
