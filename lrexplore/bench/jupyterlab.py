"""A real JupyterLab and a real Chromium for benchmarks and tests: isolated, offline, ended when done.

`with jupyter_lab(folder) as lab, chromium() as browser: notebook = browser.open(lab, "01.ipynb")`
Needs the packages jupyterlab and playwright, and a Chromium on the PATH.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_PLAYWRIGHT = 'pip install "playwright>=1.49"'
INSTALL_CHROMIUM = "apt-get install --yes chromium"
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split() + ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
JUPYTER_FOLDERS = (
    "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR",
)  # fmt: skip
QUIET = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
LOCAL_HOSTS = ("127.0.0.1", "localhost", "")


@dataclass(frozen=True)
class Lab:
    """A running server: `url` without a slash at its end, its `token`, the `folder` it serves."""

    url: str
    token: str
    folder: Path


@dataclass
class Browser:
    """An offline Chromium: `context` is Playwright's, `outside` lists every request that tried to leave."""

    context: Any
    outside: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def open(self, lab: Lab, notebook: str, *, theme: str = "light") -> "Notebook":
        """Notebook opened in JupyterLab as a person would see it, its kernel ready."""
        page = self.context.new_page()
        page.set_default_timeout(60_000)
        opened = Notebook(page)
        page.on("websocket", lambda socket: socket.on("framereceived", lambda data: opened.received.append(len(data))))
        page.goto(f"{lab.url}/lab/tree/{notebook}?reset&token={lab.token}")
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.isReady")
        opened.set_theme(theme)
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
        )
        return opened


@dataclass(frozen=True)
class Notebook:
    """One notebook on screen: `page` is Playwright's, `received` the bytes of each message that reached the page."""

    page: Any
    received: list[int] = field(default_factory=list)

    def run_all(self, *, wait: bool = True) -> None:
        """Run every cell; with `wait`, return when the last one has finished."""
        self.page.evaluate(
            "wait => { const done = window.jupyterapp.commands.execute('notebook:run-all-cells');"
            " return wait ? done.then(() => null) : null; }",
            wait,
        )

    def kernel_value(self, expression: str):
        """Value of a Python expression in the notebook's kernel, carried as JSON."""
        reply = self.page.evaluate(
            """async expression => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const asked = kernel.requestExecute({
                    code: "import json as _json", silent: true, store_history: false,
                    user_expressions: {value: `_json.dumps(${expression})`},
                });
                const {content} = await asked.done;
                return content.user_expressions?.value ?? content;
            }""",
            expression,
        )
        if reply.get("status") != "ok":
            raise RuntimeError(f"`{expression}` failed in the kernel: {reply.get('ename')}: {reply.get('evalue')}")
        return json.loads(eval(reply["data"]["text/plain"], {"__builtins__": {}}))

    def wait_for_value(self, expression: str, value, time_limit_s: float = 60.0) -> None:
        """Ask the kernel until a Python expression has the value. Raises TimeoutError with the last one."""
        asking = """async ([code, value, limit]) => {
            for (const end = performance.now() + limit; ; await new Promise(done => setTimeout(done, 50))) {
                const {kernel} = jupyterapp.shell.currentWidget.sessionContext.session;
                const {content} = await kernel.requestExecute({code: "", silent: true, user_expressions: {code}}).done;
                const found = content.user_expressions.code.data?.["text/plain"];
                if (found === value || performance.now() > end) return found;
        }}"""
        value_there = self.page.evaluate(asking, [expression, repr(value), 1000 * time_limit_s])
        if value_there != repr(value):
            raise TimeoutError(
                f"`{expression}` must become {value!r} within {time_limit_s} s, got {value_there} at last."
            )

    def set_theme(self, theme: str) -> None:
        """Switch JupyterLab to its "light" or "dark" theme and wait until it is on."""
        name = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[theme]
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme}).then(() => null)",
            name,
        )
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light", arg=str(theme == "light").lower()
        )

    def close(self) -> None:
        """Save, end the kernel and close the page."""
        self.page.evaluate(
            "() => window.jupyterapp.commands.execute('docmanager:save')"
            ".then(() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown())"
        )
        self.page.close()

    def errors(self) -> list[str]:
        """Texts of the error outputs on screen."""
        return self.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()


@contextmanager
def jupyter_lab(
    folder: Path,
    *,
    start_time_limit_s: float = 60,
    environment: dict[str, str] | None = None,
    settings: dict[str, dict] | None = None,
) -> Iterator[Lab]:
    """JupyterLab serving `folder` on a free port of 127.0.0.1, isolated, ended with all its kernels.

    `environment` is added to the server's, `settings` (by JupyterLab's plugin names) to an otherwise fresh user's.
    """
    state = Path(tempfile.mkdtemp(prefix="jupyterlab-"))
    _write_settings(state / "jupyterlab_settings_dir", QUIET | (settings or {}))
    token, port = secrets.token_hex(16), _free_port()
    variables = {
        **os.environ,
        **(environment or {}),
        **{name: str(state / name.lower()) for name in JUPYTER_FOLDERS},
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with (state / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        lab = Lab(f"http://127.0.0.1:{port}", token, Path(folder))
        _wait_until_it_answers(lab, server, state / "log.txt", start_time_limit_s)
        yield lab
    finally:
        _end_group(server)
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def chromium(
    *, width: int = 1400, height: int = 1000, color_scheme: Literal["light", "dark"] = "light"
) -> Iterator[Browser]:
    """Headless Chromium that reaches nothing outside 127.0.0.1 and remembers what it tried."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"`playwright` must be installed. Install it: {INSTALL_PLAYWRIGHT}") from None
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=CHROMIUM_FLAGS)
        try:
            size: Any = {"width": width, "height": height}
            browser = Browser(program.new_context(viewport=size, color_scheme=color_scheme))
            browser.context.on("request", lambda request: _note_outside(browser, request.url))
            browser.context.on("console", lambda message: browser.console.append(f"{message.type}: {message.text}"))
            yield browser
        finally:
            program.close()


def find_chromium() -> str:
    """Path of a Chromium on the PATH. Raises FileNotFoundError with the line that installs one."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"`chromium` must be on the PATH, got none of {', '.join(CHROMIUM_NAMES)}. Install it: {INSTALL_CHROMIUM}"
    )


def _note_outside(browser: Browser, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob", "file", "about") and parts.hostname not in LOCAL_HOSTS:
        browser.outside.append(url)


def _write_settings(folder: Path, settings: dict[str, dict]) -> None:
    for plugin, values in settings.items():
        file = folder / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(lab: Lab, server: subprocess.Popen, log: Path, time_limit_s: float) -> None:
    deadline = time.monotonic() + time_limit_s
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.url}/api?token={lab.token}", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(
        f"`jupyter lab` must answer within {time_limit_s} s, it did not. Its log:\n{log.read_text()[-3000:]}"
    )


def _end_group(server: subprocess.Popen) -> None:
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, wanted)
            server.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
