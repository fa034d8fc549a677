"""Looks up the advisories of the packages of PyPI that locks list.

    packages.py EXCEPTIONS LOCK...

A package that can't be looked up fails, as an advisory does that the exceptions do not have.
"""

import json
import os
import subprocess
import sys

from exceptions import Finding, judge


def main():
    exceptions, *locks = sys.argv[1:]
    judge(exceptions, {finding for lock in locks for finding in audit(lock)})


def audit(lock):
    """Yields the advisories of one lock; ends if it could not be looked up whole."""
    program = os.path.join(os.path.dirname(sys.executable), "pip-audit")
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    # The exit status tells only that something was found.
    ran = subprocess.run([program, *options, "--requirement", lock], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.exit(f"{lock}: nothing was looked up\n{ran.stderr[-2000:]}")
    skipped = [package for package in packages if "skip_reason" in package]
    if skipped or not packages:
        sys.exit("\n".join([f"{lock}: {len(skipped)} packages were not looked up", *(str(it["skip_reason"]) for it in skipped)]))
    print(f"{lock}: {len(packages)} packages")
    for package in packages:
        for advisory in package["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no version"
            yield Finding(lock, package["name"], advisory["id"], f"in {package['version']}; fixed in {fixed}")


if __name__ == "__main__":
    main()
