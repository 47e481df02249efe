#!/usr/bin/python3
"""Runs test suites and adds up their results: the last line is "N passed, N failed" over all of them.

    tests/run_suites.py --build build [tree] [unit] [sim] [fuzz] [e2e]

Every suite writes JUnit XML, and only that is counted. A program that crashes, hangs, leaves no readable results, ends
badly with nothing failed in its results, or ran no test at all counts as one failure. Exit status 0 only if nothing
failed. Programs must have been built before (`make test` does all of it).

Environment: FUZZ_RUNS, FUZZ_SEED (as in the Makefile), QUICK=1 (leaves slow end-to-end tests out).
"""

import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

REPO = pathlib.Path(__file__).resolve().parents[1]
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
HANG_SECONDS = {"e2e": 45 * 60}  # a suite that takes longer is ended: it hangs
HANG_SECONDS_OTHERS = 15 * 60


def programs(suite, build, results):
    """What one suite consists of: (name, command, where it writes its results)."""
    if suite == "tree":
        xml = results / "tree.xml"
        return [("tree", [*PYTEST, "tests/tree", f"--junitxml={xml}"], xml)]
    if suite == "e2e":
        xml = results / "e2e.xml"
        # Three labs at once, a file of tests in one of them: most of the time a test waits for something.
        return [("e2e", [*PYTEST, "-n", "3", "--dist", "loadfile", "tests/e2e", f"--junitxml={xml}"], xml)]
    if suite in ("unit", "sim"):
        xml = results / f"{suite}.xml"
        return [(suite, [f"{build}/{suite}_tests", "--reporters=junit", f"--out={xml}"], xml)]
    if suite == "fuzz":
        runs, seed = os.environ.get("FUZZ_RUNS") or "20000", os.environ.get("FUZZ_SEED") or "1"
        found = []
        for source in sorted((REPO / "tests" / "fuzz").glob("*_fuzz.cc")):
            target = source.name.removesuffix("_fuzz.cc")
            xml = results / f"fuzz_{target}.xml"
            command = [f"{build}/fuzz_{target}", "--corpus", f"tests/fuzz/corpus/{target}", "--crash", f"{build}"]
            found.append((f"fuzz {target}", [*command, "--runs", runs, "--seed", seed, "--junit", f"{xml}"], xml))
        return found
    raise SystemExit(f"no suite is called '{suite}'")


class Tally:
    """What one program's results say."""

    def __init__(self):
        self.passed, self.skipped, self.failures = 0, 0, []

    def read(self, xml):
        for case in ElementTree.parse(xml).getroot().iter("testcase"):
            name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
            bad = case.findall("failure") + case.findall("error")
            if bad:
                self.failures.append((name, "\n".join(f"{b.get('message') or ''}\n{b.text or ''}" for b in bad)))
            elif case.find("skipped") is not None:
                self.skipped += 1
            else:
                self.passed += 1


def run(name, command, xml, seconds):
    """Runs one program to its end and returns its Tally. Its output goes straight to the terminal."""
    tally = Tally()
    xml.unlink(missing_ok=True)
    try:
        # A session of its own, so that a program that hangs is ended with everything that it started.
        process = subprocess.Popen(command, cwd=REPO, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        tally.failures.append((name, f"cannot run {command[0]}: {error.strerror}"))
        return tally
    try:
        status = process.wait(timeout=seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as ended:
        # First politely: the end-to-end tests have namespaces and daemons to take down.
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        with contextlib.suppress(ProcessLookupError):  # what ignored that, the program or what it started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(ended, KeyboardInterrupt):
            raise
        tally.failures.append((name, f"ended after {seconds} s: it hangs"))
        return tally
    try:
        tally.read(xml)
    except (OSError, ElementTree.ParseError) as error:
        tally.failures.append((name, f"ended with status {status} and left no readable results: {error}"))
        return tally
    if status != 0 and not tally.failures:
        tally.failures.append((name, f"ended with status {status}, though none of its results is a failure"))
    if tally.passed == 0 and not tally.failures:
        tally.failures.append((name, "ran no test at all"))
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("suites", nargs="+")
    options = parser.parse_args()
    build = (REPO / options.build).resolve()
    results = build / "results"
    results.mkdir(parents=True, exist_ok=True)
    os.environ["SLUICE_BIN"] = str(build / "sluice")
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")

    rows, passed, failures = [], 0, []
    for suite in options.suites:
        every = programs(suite, build, results)
        if not every:
            failures.append((suite, "ran no test at all"))
        for name, command, xml in every:
            print(f"==== {name}", flush=True)
            begin = time.monotonic()
            tally = run(name, command, xml, HANG_SECONDS.get(suite, HANG_SECONDS_OTHERS))
            took = time.monotonic() - begin
            rows.append(f"{name:<24}{tally.passed:>7} passed{len(tally.failures):>6} failed{tally.skipped:>6} skipped{took:>8.1f} s")
            passed += tally.passed
            failures += [(f"{name}: {case}" if case != name else name, why) for case, why in tally.failures]

    print("====")
    for case, why in failures:
        print(f"FAILED {case}\n  " + why.strip().replace("\n", "\n  "))
    print("\n".join(rows))
    print(f"{passed} passed, {len(failures)} failed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
