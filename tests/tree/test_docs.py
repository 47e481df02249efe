"""What the documents say of the tree must be true of the tree."""

import pathlib
import re
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]


def documents():
    """The Markdown files that are in the repository (or about to be), README.md first among them."""
    listed = subprocess.run(
        ["git", "-C", REPO, "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Without git (an unpacked archive) every file counts.
    names = listed.stdout.split("\n") if listed.returncode == 0 else map(str, REPO.rglob("*.md"))
    return sorted(REPO / name for name in names if name and (REPO / name).is_file())


def name(path):
    return path.relative_to(REPO).as_posix()


def make_targets():
    text = (REPO / "Makefile").read_text()
    return {word for line in re.findall(r"^([a-z][a-z _-]*):", text, re.MULTILINE) for word in line.split()}


def code_of(text):
    """What stands in backquotes or fenced blocks."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(fenced + re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("document", documents(), ids=name)
def test_relative_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    dead = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not dead, f"{name(document)} links to what is not there: {dead}"


@pytest.mark.parametrize("document", documents(), ids=name)
def test_make_targets_that_are_named_exist(document):
    named = set(re.findall(r"(?:^|[\s;&|])make ([a-z][a-z-]*)\b(?!=)", "\n" + code_of(document.read_text()), re.MULTILINE))
    unknown = named - make_targets()
    assert not unknown, f"{name(document)} names make targets that do not exist: {sorted(unknown)}"


@pytest.mark.parametrize("document", documents(), ids=name)
def test_files_of_the_tree_that_are_named_exist(document):
    tops = "src|tests|docs|deps|kernel-setup|systemd"
    named = set(re.findall(rf"`((?:{tops})/[\w./-]+)`", document.read_text()))
    gone = sorted(path for path in named if not (REPO / path).exists())
    assert not gone, f"{name(document)} names files that are not there: {gone}"


def test_every_close_reason_and_counter_is_documented():
    prose = "\n".join(path.read_text() for path in documents())
    for table, macro in (("close_reasons.def", "SLUICE_CLOSE"), ("counters.def", "SLUICE_COUNTER")):
        rows = re.findall(rf"^{macro}\((\w+),", (REPO / "src" / "record" / table).read_text(), re.MULTILINE)
        assert rows, f"no rows in {table}"
        missing = [row for row in rows if not re.search(rf"\b{row}\b", prose)]
        assert not missing, f"{table}: no document explains {missing}"


def test_what_is_pinned_is_what_the_documents_say():
    """docs/building.md names the library versions that deps/libraries pins."""
    building = (REPO / "docs" / "building.md").read_text()
    rows = re.findall(r"^(\w+) +([\d.]+) +\w+ +\S+ +[0-9a-f]{64}$", (REPO / "deps" / "libraries").read_text(), re.MULTILINE)
    assert len(rows) >= 4
    missing = [f"{library} {version}" for library, version in rows if version not in building]
    assert not missing, f"docs/building.md does not name {missing}"


def test_shell_scripts_parse():
    for path in ["deps/install", "deps/libraries", "deps/older", ".ci/run"]:
        done = subprocess.run(["bash", "-n", REPO / path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
