"""GraphiQL in a real browser, as a person uses it; and what a page of another site cannot do."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from ..cli.commands import Commands
from ..cli.conftest import commands as commands
from ..cli.conftest import served as served
from ..cli.terminal import TIMEOUT_SECONDS
from ..requirements import lacking

Browser = webdriver.Chrome

# What a page of another site may try: to read an answer, to send an order, and to show the proxy.
ATTACK = """
const [address, done] = [arguments[0], arguments[arguments.length - 1]];
const outcomes = [];
const note = (what) => () => outcomes.push(what);
const socket = new Promise((end) => {
  const web = new WebSocket(address.replace("http", "ws") + "/stream/session/lab1/pty");
  web.onopen = () => { note("socket opened")(); end(); };
  web.onerror = () => { note("socket refused")(); end(); };
});
const image = new Promise((end) => {
  const shown = new Image();
  shown.onload = () => { note("image loaded")(); end(); };
  shown.onerror = () => { note("image refused")(); end(); };
  shown.src = address + "/graphiql/npm/graphiql.min.css";
});
Promise.all([
  fetch(address + "/session/lab1").then(note("read"), note("not read")),
  fetch(address + "/session/lab1", {method: "DELETE"}).then(note("deleted"), note("not deleted")),
  fetch(address + "/session/lab1/interrupt", {method: "POST", mode: "no-cors", body: "{}"})
    .then(note("sent blindly"), note("not sent")),
  socket,
  image,
]).then(() => done(outcomes.sort()));
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Headless Chromium; all names lead to this machine, as if DNS had been rebound."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise lacking("no chromium with its chromedriver was found")
    options = webdriver.ChromeOptions()
    options.binary_location = program or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",  # CI is root
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1280,800",
        f"--user-data-dir={tmp_path / 'browser'}",
        "--host-resolver-rules=MAP *.example 127.0.0.1",
    ):
        options.add_argument(argument)
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


@pytest.fixture
def proxy_url(commands: Commands, served: Mapping[str, str]) -> Iterator[str]:
    """`backend.ai proxy` before a gateway."""
    with commands.start("proxy", "-p", "0", env=served) as proxy:
        proxy.expect("requests to ", on="stderr")
        yield proxy.expect(" for ", on="stderr")


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Where screenshots go; in CI a folder that outlives the run."""
    folder = Path(os.environ.get("BACKENDAI_TESTS_ARTIFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def other_site(tmp_path: Path) -> Iterator[int]:
    """A page of another site; the port it is served on."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<!DOCTYPE html><title>Another site</title>")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _has_assets() -> None:
    import backendai_trio.proxy

    folder = Path(backendai_trio.proxy.__file__).parent / "static" / "npm"
    if not (folder / "graphiql.min.js").is_file():
        raise lacking("the package was built without GraphiQL (hatch_build.py)")


def test_a_query_typed_into_it(
    browser: Browser,
    proxy_url: str,
    commands: Commands,
    served: Mapping[str, str],
    artifacts: Path,
) -> None:
    _has_assets()
    made = commands.run("run", "-q", "python", "-t", "lab-of-mine", "-c", "1", env=served)
    assert made.code == 0, made.stderr
    browser.get(f"{proxy_url}/graphiql")
    wait = WebDriverWait(browser, TIMEOUT_SECONDS)
    # The schema has come when the editor's documentation lists the root fields.
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ".graphiql-query-editor .CodeMirror"))
    editor = browser.find_element(By.CSS_SELECTOR, ".graphiql-query-editor .CodeMirror textarea")
    editor.send_keys(Keys.CONTROL, "a")
    editor.send_keys(Keys.DELETE)
    editor.send_keys("{ compute_sessions { sess_id status }")
    browser.find_element(By.CSS_SELECTOR, ".graphiql-execute-button").click()

    def answer(_: object) -> str:
        found = browser.find_elements(By.CSS_SELECTOR, ".graphiql-response .CodeMirror-code")
        return found[0].text if found else ""

    try:
        wait.until(lambda b: "lab-of-mine" in answer(b) or "errors" in answer(b))
    finally:
        browser.save_screenshot(str(artifacts / "graphiql.png"))
    assert "lab-of-mine" in answer(None) and "RUNNING" in answer(None)
    severe = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "favicon" not in line["message"]] == []
    assert commands.run("run", "-q", "python", "-t", "lab-of-mine", "-c", "1", env=served).code == 0


def test_a_page_of_another_site_cannot(
    browser: Browser, proxy_url: str, other_site: int, artifacts: Path
) -> None:
    browser.get(f"http://localhost:{other_site}/")
    outcomes = browser.execute_async_script(ATTACK, proxy_url)
    browser.save_screenshot(str(artifacts / "another-site.png"))
    # What is sent blindly arrives, and is refused; its sender is not told even that.
    assert outcomes == sorted(
        ["not read", "not deleted", "sent blindly", "socket refused", "image refused"]
    )


def test_a_rebound_name_cannot(browser: Browser, proxy_url: str, artifacts: Path) -> None:
    """For the browser it is the proxy's own page: the name leads to this machine."""
    port = proxy_url.rpartition(":")[2]
    browser.get(f"http://evil.example:{port}/graphiql")
    browser.save_screenshot(str(artifacts / "rebound.png"))
    shown = browser.find_element(By.TAG_NAME, "body").text
    assert "The proxy refuses this request" in shown and "evil.example" in shown
