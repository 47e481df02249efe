"""The program that adds up results must not take a crash, a hang or an empty suite for a success."""

import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import run_suites  # noqa: E402

PASSED = '<testsuite><testcase name="a"/><testcase name="b"/></testsuite>'
FAILED = '<testsuite><testcase name="a"/><testcase name="b"><failure message="no"/></testcase></testsuite>'
ERROR = '<testsuite><testcase name="a"/><testcase name="b"><error>no</error></testcase></testsuite>'
SKIPPED = '<testsuite><testcase name="a"/><testcase name="b"><skipped/></testcase></testsuite>'
ALL_SKIPPED = '<testsuite><testcase name="b"><skipped/></testcase></testsuite>'


def is_running(pid):
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()  # a zombie waits for init only
    except (FileNotFoundError, ProcessLookupError):
        return False


def run(tmp_path, script, seconds=60):
    xml = tmp_path / "results.xml"
    tally = run_suites.run("name", ["bash", "-c", script, "bash", str(xml)], xml, seconds)
    return tally.passed, len(tally.failures), tally.skipped


@pytest.mark.parametrize(
    "results, status, passed, failed, skipped",
    [
        (PASSED, 0, 2, 0, 0),
        (FAILED, 1, 1, 1, 0),
        (FAILED, 0, 1, 1, 0),
        (ERROR, 1, 1, 1, 0),
        (SKIPPED, 0, 1, 0, 1),
        (PASSED, 1, 2, 1, 0),  # a sanitizer that reports after the last test
        ("<testsuite/>", 0, 0, 1, 0),
        (ALL_SKIPPED, 0, 0, 1, 1),
        (PASSED[:30], 0, 0, 1, 0),
        ("", 0, 0, 1, 0),
    ],
)
def test_results_and_status_are_both_heeded(tmp_path, results, status, passed, failed, skipped):
    assert run(tmp_path, f"printf '%s' '{results}' >\"$1\"; exit {status}") == (passed, failed, skipped)


def test_a_crash_is_a_failure(tmp_path):
    assert run(tmp_path, "kill -SEGV $$") == (0, 1, 0)


def test_results_of_an_earlier_run_do_not_count(tmp_path):
    (tmp_path / "results.xml").write_text(PASSED)
    assert run(tmp_path, "exit 0") == (0, 1, 0)


def test_a_hang_is_ended_with_what_it_started_and_is_a_failure(tmp_path):
    marker = tmp_path / "child"
    assert run(tmp_path, f"sleep 1000 & echo $! >{marker}; wait", seconds=1) == (0, 1, 0)
    pid = int(marker.read_text())
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} was left behind"


def test_a_program_that_is_not_there_is_a_failure(tmp_path):
    tally = run_suites.run("name", [str(tmp_path / "absent")], tmp_path / "results.xml", 60)
    assert tally.passed == 0 and len(tally.failures) == 1
