"""The files around the package say what is true of it."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from test_floors import FLOORS, PACKAGE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FENCED = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [block.strip() for block in FENCED if block.startswith("python3 -m venv")]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", CONTRIBUTING, re.MULTILINE | re.DOTALL)
TREE = next(block for block in FENCED if block.startswith("lrexplore/"))


def _own_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode == 0:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    folders = ("lrexplore", "tests", "notebooks", "data", ".ci")  # an unpacked archive, not a clone
    return [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]


def test_the_readme_has_two_commands_of_one_line_each():
    run, test = COMMANDS
    assert "\n" not in run + test
    assert run.endswith(".venv/bin/lrexplore lab")
    assert "pytest" in test


def test_ci_runs_the_readmes_test_command():
    assert COMMANDS[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_commands_install_extras_that_exist():
    for command in COMMANDS:
        extras = re.search(r'"\.\[(.*?)\]"', command)[1].split(",")
        assert set(extras) <= set(PROJECT["optional-dependencies"])


def test_the_script_entry_exists():
    assert PROJECT["scripts"] == {"lrexplore": "lrexplore.cli:main"}
    from lrexplore.cli import main

    assert callable(main)


def test_ci_is_executable_and_stops_at_the_first_error():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")


def test_the_tree_in_the_readme_lists_every_folder_with_a_comment():
    listed, parent = set(), ""
    for line in TREE.strip().splitlines():
        indent, name, comment = re.fullmatch(r"( *)(\S+)/ +(\S.*)", line).groups()
        parent = parent if indent else name
        listed.add(f"{parent}/{name}" if indent else name)
        assert comment
    rooms = {f"lrexplore/{path.parent.name}" for path in (ROOT / "lrexplore").glob("*/__init__.py")}
    assert listed == rooms | {"lrexplore", "notebooks", "tests", "data"}
    assert all((ROOT / folder).is_dir() for folder in listed)


def test_every_public_name_is_in_the_readme_or_a_notebook():
    import lrexplore

    cells = [
        "".join(cell["source"])
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    shown = set(re.findall(r"\blr\.(\w+)", "\n".join([README, *cells])))
    assert [name for name in lrexplore.__all__ if name not in shown] == []
    assert [name for name in re.findall(r"\blr\.(\w+)", README) if name not in lrexplore.__all__] == []


def test_the_house_in_contributing_is_the_house_that_stands():
    picture = re.search(r"^```\n(bench/.*?)^```", CONTRIBUTING, re.MULTILINE | re.DOTALL)[1]
    said = {}
    for line in picture.splitlines():
        room, may_import = re.fullmatch(r"(\w+)/ +(\S.*)", line).groups()
        said[room] = set(may_import.split()) & {*FLOORS, "everything"}
    everything = {"bench", "cli"}
    assert said == {**FLOORS, **dict.fromkeys(everything, {"everything"})}
    assert set(said) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_every_file_that_contributing_names_exists():
    named = re.findall(r"`((?:tests|\w+)/[\w/]+\.py|\w+/)`", CONTRIBUTING)
    assert named
    assert [name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists()] == []


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_a_snippet_of_contributing_compiles(snippet):
    compile(snippet, "CONTRIBUTING.md", "exec")


def test_contributing_has_a_snippet_on_each_thing_to_add():
    headings = re.findall(r"^## An? (.*)$", CONTRIBUTING, re.MULTILINE)
    assert headings == ["initializer", "activation", "kind of layer", "class of attention", "model", "data set", "plot"]
    assert len(SNIPPETS) == len(headings)


def test_the_changelog_begins_with_what_is_unreleased_and_has_the_version():
    import lrexplore

    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert heads[1] == lrexplore.__version__


def test_the_links_and_pictures_of_the_readme_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if "://" not in target and not (ROOT / target).is_file()] == []


def test_files_past_250_lines_are_named_as_a_hint():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "lrexplore").rglob("*.py")}
    assert lengths
    for path, length in sorted(lengths.items()):
        if length > 250:
            print(f"hint: {path.relative_to(ROOT)} has {length} lines: is it still one noun?")


def test_no_file_names_a_folder_of_one_machine():
    private = re.compile(r"(?<![\w.~-])/(?:tmp|work|home|root|Users|mnt|opt/venv)/[\w.-]+")
    texts = [p for p in _own_files() if p.suffix in (".py", ".md", ".toml", ".ipynb", "") and p.name != "LICENSE"]
    assert texts
    found = {str(p.relative_to(ROOT)): private.findall(p.read_text(encoding="utf-8")) for p in texts}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_every_data_file_has_its_line_with_the_right_checksum():
    table = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for path in _own_files():
        if path.parent == ROOT / "data" and path.name != "README.md":
            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
            row = re.search(rf"^\|.*{re.escape(path.name)}.*{checksum}.*$", table, re.MULTILINE)
            assert row, f"data/README.md needs a line with {path.name} and {checksum}"


def test_a_version_is_written_once():
    import lrexplore

    assert "version" not in PROJECT
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", lrexplore.__version__)
