import functools
import subprocess
import sys

import pytest

from lrexplore.recipes import configure
from lrexplore.recipes.references import folder_of, is_reference, reference_of, resolve


def build(num_classes):
    return num_classes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with modules of a person, in which the process runs."""
    (tmp_path / "mine_alone.py").write_text("def build(num_classes):\n    return num_classes\nSIZE = 3\n")
    (tmp_path / "mine_broken.py").write_text("import mine_alone\n1 / 0\n")
    (tmp_path / "mine_within").mkdir()
    (tmp_path / "mine_within" / "__init__.py").write_text("")
    (tmp_path / "mine_within" / "nets.py").write_text("class Net:\n    def make():\n        return 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("networks:build", True), ("package.module:Net.make", True), ("resnet20", False), ("pipe:cat", False),
     ("data/fashion", False), ("https://host/a", False), ("C:\\data", False), ("a:1", False), ("s3://a:b", False)],
)  # fmt: skip
def test_a_reference_is_told_from_names_paths_addresses_and_commands(text, expected):
    assert is_reference(text) is expected


def test_a_function_is_found_by_the_name_it_was_given(folder):
    function = resolve("mine_within.nets:Net.make", "model")
    assert function() == 7
    assert reference_of(function, "model") == "mine_within.nets:Net.make"
    assert folder_of("mine_within.nets:Net.make") == str(folder)
    assert folder_of("mine_within:anything") == str(folder)
    assert configure(model=function).model == "mine_within.nets:Net.make"


def main_function():
    """A function as a notebook's cell makes it."""


main_function.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: None, "a lambda"),
        ((lambda: [f for f in [lambda: 0]])()[0], "a lambda"),
        (functools.partial(build, 3), "an object of the class partial"),
        (main_function, "main_function of this notebook or script"),
    ],
    ids=["lambda", "inner lambda", "partial", "notebook"],
)
def test_what_a_new_process_cannot_import_is_refused_with_the_reason_and_the_way_out(function, reason):
    with pytest.raises(ValueError, match=f"`model` must be a function .* got {reason}.*networks.py"):
        configure(model=function)


def test_a_function_inside_another_and_a_name_that_means_another_thing_are_refused():
    def build(num_classes):
        return num_classes

    with pytest.raises(ValueError, match="`data` must .* got build, a function inside another"):
        configure(model="resnet20", data=build)
    build.__qualname__ = "build"
    with pytest.raises(ValueError, match="does not name"):
        reference_of(build, "data")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("mine_nowhere:build", "there is no mine_nowhere in .*PYTHONPATH"),
        ("mine_within.nowhere:build", "there is no mine_within.nowhere"),
        ("mine_alone:nothing", "nothing is nothing in .*mine_alone.py"),
        ("mine_alone:SIZE", "SIZE is a int"),
        ("mine_broken:build", "fails with ZeroDivisionError: .*mine_broken.py, line 2"),
        ("os:abort", "none of yours"),
        ("__main__:build", "none of yours"),
    ],
)
def test_a_reference_that_leads_nowhere_says_where_it_looked(folder, reference, words):
    with pytest.raises(ImportError, match=f"`model` must be a function that can be imported, got .*{words}") as raised:
        resolve(reference, "model")
    if "nowhere:" in reference and "within" not in reference:
        assert str(folder) in str(raised.value)


def test_the_command_finds_a_file_beside_it(folder):
    code = "import sys; sys.path = [p for p in sys.path if p]; from lrexplore.recipes.references import resolve;"
    done = subprocess.run(
        [sys.executable, "-c", code + "print(resolve('mine_alone:build', 'model')(4))"],
        capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    assert done.stdout == "4\n", done.stderr
