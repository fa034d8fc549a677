"""Findings of checkers, and the exceptions from them, each with a reason."""

import fnmatch
import sys
from dataclasses import dataclass

import yaml


@dataclass(frozen=True, order=True)
class Finding:
    """What a check says about a part of a file."""

    file: str
    part: str
    check: str
    text: str


@dataclass(frozen=True)
class Exemption:
    """A check that may fail at the parts of a file that match a pattern."""

    file: str
    part: str
    check: str

    def covers(self, finding):
        return (finding.file, finding.check) == (self.file, self.check) and fnmatch.fnmatchcase(finding.part, self.part)


def judge(path, findings):
    """Ends with an error if a finding is not excepted, or if an exception has no reason or matches nothing."""
    exceptions, mistakes = read(path)
    excepted = set()
    for exception in exceptions:
        found = {finding for finding in findings if exception.covers(finding)}
        if not found:
            mistakes.append(f"{path}: {exception.check} is not found at {exception.file} {exception.part}; remove it")
        excepted |= found
    for finding in sorted(findings - excepted):
        mistakes.append(f"{finding.file}: {finding.part}: {finding.check} {finding.text}")
    print(f"{len(findings)} findings, {len(excepted)} of them excepted")
    if mistakes:
        sys.exit("\n".join(mistakes))


def read(path):
    """Returns the exceptions of a file, and what is wrong with them."""
    with open(path, encoding="utf-8") as file:
        entries = yaml.safe_load(file) or []
    exceptions, mistakes = [], []
    for entry in entries:
        if set(entry) != {"check", "file", "parts", "reason"}:
            mistakes.append(f"{path}: an exception has check, file, parts and reason, not {', '.join(sorted(entry))}")
            continue
        place = f"{path}: {entry['check']} at {entry['file']}"
        if not str(entry["reason"] or "").strip():
            mistakes.append(f"{place} has no reason")
        if not entry["parts"]:
            mistakes.append(f"{place} names no part")
        exceptions += [Exemption(entry["file"], part, entry["check"]) for part in entry["parts"] or []]
    return exceptions, mistakes
