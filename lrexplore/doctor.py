"""What is installed here, what is missing, and the line that installs it."""

import importlib.metadata
import json
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.requirements import Requirement

from lrexplore import __version__

_PYTHON = (3, 11)
_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
_IDX_FILES = tuple(f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked for: what was found (None: nothing usable), and the line that mends it."""

    name: str
    purpose: str
    found: str | None
    required: bool = False
    problem: str = "missing"
    fix: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it is there and fits."""
        return self.found is not None


def _pip(requirement: str) -> str:
    return f"{sys.executable} -m pip install '{requirement}'"


def _apt(package: str) -> str:
    return f"apt-get update && apt-get install -y --no-install-recommends {package}"


def _requirements() -> list[tuple[str, Requirement]]:
    """Every declared dependency with the extra it belongs to ("" for the required ones)."""
    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if pyproject.is_file():  # a clone: its file is newer than what an editable install wrote down
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        groups = {"": project["dependencies"], **project["optional-dependencies"]}
        return [(extra, Requirement(line)) for extra, lines in groups.items() for line in lines]
    declared = [Requirement(line) for line in importlib.metadata.requires("lrexplore") or []]
    extras = [re.search(r"extra == [\"']([\w-]+)", str(one.marker)) for one in declared]
    return [(extra[1] if extra else "", one) for extra, one in zip(extras, declared, strict=True)]


def _packages() -> Iterator[Finding]:
    for extra, requirement in _requirements():
        if requirement.name == "lrexplore":
            continue
        wanted = f"{requirement.name}{requirement.specifier}"
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            fitting, problem = None, "missing"
        else:
            problem = f"{installed} is installed"
            fitting = installed if requirement.specifier.contains(installed, prereleases=True) else None
        yield Finding(
            name=requirement.name,
            purpose=f"extra `{extra}`" if extra else "required",
            found=fitting,
            required=not extra,
            problem=problem,
            fix=_pip(wanted),
        )


def _front_ends() -> Iterator[Finding]:
    """The browser's halves of ipywidgets and anywidget, where JupyterLab here looks for them."""
    from jupyter_core.paths import jupyter_path

    for package, extension in (
        ("ipywidgets", "@jupyter-widgets/jupyterlab-manager"),
        ("anywidget", "anywidget"),
    ):
        folders = (Path(folder) / extension for folder in jupyter_path("labextensions"))
        manifest = next((folder / "package.json" for folder in folders if (folder / "package.json").is_file()), None)
        served = json.loads(manifest.read_text(encoding="utf-8"))["version"] if manifest else None
        kernel = importlib.metadata.version(package)
        # anywidget refuses another minor version; the two halves of ipywidgets are numbered apart
        fits = served and (package != "anywidget" or served.split(".")[:2] == kernel.split(".")[:2])
        yield Finding(
            name=f"{package} in JupyterLab",
            purpose="shows the explorer in the browser",
            found=f"{served}, kernel {kernel}" if fits else None,
            required=True,
            problem=f"JupyterLab serves {served} from {manifest.parent}, the kernel has {kernel}"
            if manifest
            else "missing",
            fix=f"{sys.executable} -m pip install --force-reinstall --no-deps '{package}=={kernel}'"
            + (f" && rm -r '{manifest.parent}'" if manifest and not manifest.is_relative_to(sys.prefix) else ""),
        )


def _device() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding(
            name="device",
            purpose="computes",
            found=None,
            required=True,
            problem=str(error),
            fix=_pip("torch"),
        )
    device = f"CPU, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        cuda = torch.cuda.get_device_properties(0)
        device += f"; CUDA {torch.version.cuda}: {cuda.name}, {cuda.total_memory / 2**30:.0f} GiB"
    return Finding(
        name="device",
        purpose="computes",
        found=f"{device}; CUDA is optional" if ";" not in device else device,
        required=True,
    )


def _tools() -> Iterator[Finding]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Finding(name="chromium", purpose="browser tests, bench explorer", found=chromium, fix=_apt("chromium"))
    yield Finding(name="npm", purpose="rebuilds the plots' front end", found=shutil.which("npm"), fix=_apt("npm"))


def _data() -> Iterator[Finding]:
    absent = [name for name in _IDX_FILES if not (_FASHION_MNIST / name).is_file()]
    yield Finding(
        name="Fashion-MNIST",
        purpose="experiments on real images",
        found=None if absent else str(_FASHION_MNIST),
        fix=_apt("dataset-fashion-mnist"),
    )


def _catalogs() -> Finding:
    from lrexplore.datasets.text.catalogs import PACKAGE, catalog_folders, find_catalogs

    folders = [folder for folder in catalog_folders() if find_catalogs([folder], "de")]
    package = PACKAGE.format("de")
    return Finding(
        name="German message catalogs",
        purpose="`lrexplore train translation --data catalogs`, or --data FOLDER",
        found=", ".join(map(str, folders)) or None,
        fix=f"apt-get update && apt-get download {package} && dpkg -x {package}_*.deb FOLDER",
    )


def findings() -> list[Finding]:
    """Everything that was looked for, the required things first; imports torch (seconds), changes nothing."""
    version = platform.python_version()
    python = Finding(
        name="python",
        purpose="required",
        found=version if sys.version_info >= _PYTHON else None,
        required=True,
        problem=f"{version} is too old",
        fix="Install Python 3.11 or newer and make the virtual environment anew.",
    )
    packages = list(_packages())
    present = {one.name for one in packages if one.ok}
    # without these two the front ends are missing because their package is: one finding is enough
    front_ends = _front_ends() if {"ipywidgets", "anywidget"} <= present else ()
    every = [python, *packages, *front_ends, _device(), *_tools(), *_data(), _catalogs()]
    return sorted(every, key=lambda one: not one.required)


def main(as_json: bool = False) -> int:
    """The exit status, 0 where all required things are there; prints one line a finding, or JSON."""
    listed = findings()
    healthy = all(one.ok for one in listed if one.required)
    if as_json:
        records = [
            {
                **asdict(one),
                "ok": one.ok,
                "problem": None if one.ok else one.problem,
                "fix": None if one.ok else one.fix,
            }
            for one in listed
        ]
        print(json.dumps({"ok": healthy, "lrexplore": __version__, "findings": records}, indent=2))
        return 0 if healthy else 1
    print(f"lrexplore {__version__}")
    for one in listed:
        mark = "ok     " if one.ok else "MISSING" if one.required else "absent "
        print(f"{mark}  {one.name:34}  {one.found or one.problem}  ({one.purpose})")
        if not one.ok:
            print(f"         {one.fix}")
    print(
        "All required things are there." if healthy else "Something required is missing: run the lines under MISSING."
    )
    return 0 if healthy else 1
