"""Who may import whom, and what may happen at import."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lrexplore"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "disk": set(),
    "linalg": set(),
    "records": set(),
    "datasets": set(),
    "models": {"linalg"},  # whether weights are finite is asked in one place
    "recipes": set(),
    "dual": {"linalg"},
    "init": {"linalg", "dual"},
    "proof": {"linalg", "dual", "init"},
    "nn": {"linalg"},
    "network": {"linalg", "dual", "init", "nn", "models"},  # models: a saved network is recognized by its tensors
    "calibration": {"linalg", "dual", "nn", "network"},
    "ranks": {"linalg", "dual", "init", "nn", "network", "calibration"},
    "optim": {"linalg", "nn"},
    "training": {
        *("linalg", "records", "datasets", "models", "recipes", "dual", "init", "nn", "network", "calibration"),
        *("ranks", "optim"),
    },
    "theory": {"linalg", "dual", "init", "proof"},
    "explorer": {
        *("linalg", "records", "datasets", "models", "recipes", "dual", "init", "proof", "nn", "network"),
        *("calibration", "ranks", "theory"),
    },
}
ROOFS = {"__init__", "__main__", "bench", "cli", "doctor", "opening"}  # may import everything
NEVER = {"explorer": {"training", "optim"}, "training": {"proof"}}  # not through another room either

MAX_FILES = 16  # of one folder, but for __init__ and __main__
# Rooms whose files play the same parts, and may share names.
SAME_PARTS = [
    {"explorer/layer", "explorer/network", "explorer/training"},
    {"init", "init/real"},
]

WIDGETS = {"anywidget", "ipywidgets"}
PICTURES = {"matplotlib", "plotly"}
# Costs 50 ms or more, or is optional: nothing of it may come along with `import lrexplore`.
LATE = (
    WIDGETS | PICTURES | {"IPython", "jupyterlab", "pandas", "safetensors", "scipy", "sklearn", "timm", "torchvision"}
)


def room_of(path: Path) -> str:
    """The first name under lrexplore/: a folder, or a file without its suffix."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """The full dotted name of everything a file imports, anywhere in it."""
    package = ["lrexplore", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def libraries_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def test_the_walk_sees_absolute_relative_and_nested_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    path = tmp_path / "nn" / "linear.py"
    path.parent.mkdir()
    path.write_text(
        "import lrexplore.training.run\nfrom ..linalg import rank\ndef f():\n    from lrexplore import init\n"
    )
    assert set(imports_of(path)) == {"lrexplore.training.run", "lrexplore.linalg.rank", "lrexplore.init"}


def rooms_reached(room: str) -> dict[str, list[str]]:
    """Room -> the modules by which it is reached from another room, in steps of any number."""
    modules = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in FILES}
    names = {name.removesuffix(".__init__"): name for name in modules}
    reached, ways = {}, [[name] for name in modules if name.split(".")[0] == room]
    seen = {way[-1] for way in ways}
    while ways:
        way = ways.pop()
        for imported in imports_of(modules[way[-1]]):
            if not imported.startswith("lrexplore."):
                continue
            target = imported.removeprefix("lrexplore.")
            module = names.get(target) or names.get(target.rpartition(".")[0])
            if module and module not in seen:
                seen.add(module)
                ways.append([*way, module])
                reached.setdefault(module.split(".")[0], ways[-1])
    return reached


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_the_floors_below_it(path):
    room = room_of(path)
    assert room in FLOORS or room in ROOFS, f"{room} has no line in FLOORS: say what it may import"
    if room in ROOFS:
        return
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("lrexplore.")}
    assert ours <= FLOORS[room] | {room, "disk"}  # every room may write files, and all write them alike


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_reaches_no_room_above_it_through_another(room):
    order = list(FLOORS)
    reached = rooms_reached(room)
    assert {name: way for name, way in reached.items() if name in ROOFS or order.index(name) > order.index(room)} == {}
    assert {name: way for name, way in reached.items() if name in NEVER.get(room, ())} == {}


def test_the_walk_through_rooms_sees_lazy_imports_and_says_the_way():
    assert rooms_reached("opening")["training"][-1].startswith("training")


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_folder_holds_one_kind_of_thing(folder):
    files = [path for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert len(files) <= MAX_FILES, "past about fifteen files a folder holds two kinds of things: split it"


def test_no_two_files_share_a_name_unless_they_play_the_same_part():
    places = {}
    for path in FILES:
        room = str(path.parent.relative_to(PACKAGE))
        if path.stem not in ("__init__", "__main__") and room != "bench":  # a bench is called after what it measures
            places.setdefault(path.stem, set()).add(room)
    shared = {name: rooms for name, rooms in places.items() if len(rooms) > 1}
    assert {name: rooms for name, rooms in shared.items() if not any(rooms <= same for same in SAME_PARTS)} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_widgets_and_pictures_are_made_in_the_explorer_and_the_theory_only(path):
    if room_of(path) not in ("explorer", "theory"):
        assert not libraries_of(path) & (WIDGETS | PICTURES)


def test_compute_knows_no_widget_and_figures_no_tensor():
    explorer = PACKAGE / "explorer" / "layer"
    assert not libraries_of(explorer / "compute.py") & (WIDGETS | PICTURES)
    assert "torch" not in libraries_of(explorer / "figures.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_only_defines_when_it_is_imported(path):
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        guarded = isinstance(node, ast.If) and ast.unparse(node.test) in (
            "TYPE_CHECKING",
            "__name__ == '__main__'",
        )
        assert docstring or guarded or isinstance(node, allowed), f"line {node.lineno}: {ast.unparse(node)[:80]}"


def _in_a_fresh_process(code: str) -> object:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return json.loads(done.stdout)


def test_importing_lrexplore_imports_nothing_heavy_beyond_torch():
    code = "import torch, sys, json; before = set(sys.modules); import lrexplore;"
    code += "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    assert not set(_in_a_fresh_process(code)) & LATE


def test_importing_every_module_leaves_torchs_settings_and_generator_alone():
    modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in FILES]
    modules = [name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")]
    code = f"""
import importlib, json, random, torch
def settings():
    return [torch.get_num_threads(), str(torch.get_default_dtype()), str(torch.get_default_device()),
            torch.is_grad_enabled(), torch.get_rng_state().sum().item(), hash(random.getstate()),
            torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark]
torch.manual_seed(0)
before = settings()
for name in {modules}:
    importlib.import_module(name)
print(json.dumps([before, settings()]))
"""
    before, after = _in_a_fresh_process(code)
    assert before == after
