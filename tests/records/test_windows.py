"""What Windows lacks is asked for where it is used, so that everything can be imported there."""

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "lrexplore"


def test_every_module_can_be_imported_without_what_windows_lacks():
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")]
    names = sorted(name.removesuffix(".__init__") for name in names)
    lacking = "fcntl", "resource", "pty", "termios", "grp", "pwd", "readline"
    code = f"""
import importlib, sys
import torch, torchvision, ipywidgets, IPython, pandas, pyarrow, psutil, matplotlib.pyplot, plotly.graph_objects
for name in {lacking}:
    sys.modules[name] = None
for name in {names}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr[-2000:]
