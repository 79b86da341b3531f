"""The page as a reader has it: in Chromium, spoken to through a pipe, so that nothing but the browser is needed."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier

HOSTILE = [
    "<script>window.hacked = 1; alert(1)</script>",
    '"><img src=http://e.vil/x onerror="window.hacked = 2">',
    "{{7*7}}",
    "`${window.hacked = 3}`",
    "two\nlines </script><svg onload=window.hacked=4>",
]
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """Chromium with one page; `events` holds what it told."""

    def __init__(self, binary: str, profile: Path) -> None:
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        # The browser reads commands from its descriptor 3 and writes answers to its descriptor 4
        wired = ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash"]
        self._process = subprocess.Popen(
            [*wired, binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._n_sent, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._n_sent:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _receive(self, seconds: float = 60.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(end - time.monotonic(), 0.0))
            assert ready, "the browser says nothing"
            content = os.read(self._in, 1 << 16)
            assert content, "the browser has gone"
            self._buffer += content
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path) -> None:
        """Show a file and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def told(self, method: str) -> list[dict[str, Any]]:
        """What events of one kind said."""
        return [event["params"] for event in self.events if event.get("method") == method]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed (tests/tools.sh installs it where packages may be installed)")
    browser = Browser(binary, tmp_path_factory.mktemp("profile"))
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a fit whose columns, categories, classes and target are named by somebody with bad intentions."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            HOSTILE[0]: rng.normal(size=120),
            HOSTILE[1]: rng.choice(HOSTILE, 120),
            HOSTILE[2]: rng.normal(size=120),
            HOSTILE[4]: rng.choice(["a", "b"], 120),
        }
    )
    score = X[HOSTILE[0]] + (X[HOSTILE[1]] == HOSTILE[3]) + 0.5 * rng.normal(size=120)
    y = pd.Series(np.where(score > 0.3, HOSTILE[1], HOSTILE[0]), name=HOSTILE[3])
    model = WorkflowClassifier(
        estimators=["linear"], business={"cost_per_false_positive": 1, "cost_per_false_negative": 5, "currency": "<b>"},
        sensitive=[HOSTILE[4]], time_budget=None, n_iter=3, cv=3, n_jobs=1, random_state=0, verbose=0,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "report.html"
    return model.fit(X, y).report(path, include_samples=True)


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    """The page, freshly loaded; whatever a test does to it, it may not complain, ask for anything, or be taken over."""
    browser.open(page)
    yield browser
    assert browser.told("Runtime.exceptionThrown") == []
    assert browser.told("Runtime.consoleAPICalled") == []
    assert browser.told("Log.entryAdded") == []
    assert browser.told("Page.javascriptDialogOpening") == []
    assert [e["request"]["url"] for e in browser.told("Network.requestWillBeSent")] == [page.resolve().as_uri()]
    assert browser.ask("window.hacked === undefined")


def test_names_do_nothing(opened: Browser) -> None:
    assert opened.ask("document.querySelectorAll('img, iframe, link, form, object, embed').length") == 0
    assert opened.ask("document.querySelectorAll('script').length") == 3
    # As children of the page's own elements, names are text
    text = opened.ask("document.querySelector('main').textContent")
    for name in HOSTILE[:4]:
        assert name in text
    attributes = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
    assert not [name for name in opened.ask(attributes) if name.startswith("on")]


def test_what_is_injected_is_not_run(browser: Browser, page: Path) -> None:
    """The policy itself: a script or a picture that got into the page all the same stays without effect."""
    browser.open(page)
    browser.ask(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.injected = 1';"
        " document.body.append(s); const i = new Image(); i.src = 'http://e.vil/y'; document.body.append(i); })()"
    )
    assert browser.ask("new Promise(done => setTimeout(() => done(window.injected === undefined), 50))")
    refused = [entry["entry"]["text"] for entry in browser.told("Log.entryAdded")]
    assert len(refused) >= 2
    assert all("Content Security Policy" in text for text in refused)
    assert [failure["blockedReason"] for failure in browser.told("Network.loadingFailed")] == ["csp"]


def test_the_slider_moves_the_figures(opened: Browser) -> None:
    steps = opened.ask("JSON.parse(document.getElementById('decisions').textContent).steps")
    assert len(steps) > 10
    shown = (
        "Object.fromEntries([...document.querySelectorAll('[data-step]')].map(e => [e.dataset.step, e.textContent]))"
    )
    in_use = opened.ask(shown)
    assert in_use == {name: steps[int(opened.ask("slider.value"))][name] for name in in_use}
    assert {"threshold", "hits", "misses", "alarms", "passed", "precision", "recall", "cost"} <= set(in_use)
    for place in (0, len(steps) - 1):
        opened.ask(f"slider.value = {place}, slider.dispatchEvent(new Event('input', {{bubbles: true}}))")
        assert opened.ask(shown) == {name: steps[place][name] for name in in_use}
        here = opened.ask("(e => [e.cx.baseVal.value, e.cy.baseVal.value])(document.querySelector('svg .here'))")
        assert here == pytest.approx(steps[place]["places"][:2], abs=0.01)
    assert int(steps[0]["hits"]) > int(steps[-1]["hits"])
    opened.ask("document.querySelector('button[data-to]').click()")
    assert opened.ask(shown) == in_use


def test_tables_are_sorted_by_their_headings(opened: Browser) -> None:
    column = (
        "(n => [...document.querySelector('#metrics table').tBodies[0].rows].map(r => r.cells[n].textContent.trim()))"
    )
    before = opened.ask(f"{column}(1)")
    click = "document.querySelectorAll('#metrics th .sort')[1].click()"
    opened.ask(click)
    rising = [float(text.replace(",", "")) for text in opened.ask(f"{column}(1)")]
    assert rising == sorted(rising)
    assert sorted(before) == sorted(opened.ask(f"{column}(1)"))
    assert opened.ask("document.querySelectorAll('#metrics th')[1].getAttribute('aria-sort')") == "ascending"
    opened.ask(click)
    falling = [float(text.replace(",", "")) for text in opened.ask(f"{column}(1)")]
    assert falling == rising[::-1]
    opened.ask("document.querySelectorAll('#metrics th .sort')[0].click()")
    names = opened.ask(f"{column}(0)")
    assert names == sorted(names, key=str.lower)


def test_the_theme_follows_the_system_until_it_is_chosen(opened: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen[scheme] = opened.ask(ground)
    assert seen["light"] != seen["dark"]
    # The system is dark still
    for theme in ("light", "dark"):
        opened.ask("document.getElementById('theme').click()")
        assert opened.ask(ground) == seen[theme]
        assert theme in opened.ask("document.getElementById('theme').textContent")
    opened.call("Emulation.setEmulatedMedia", features=[])


def test_values_are_shown_under_the_pointer(opened: Browser) -> None:
    box = opened.ask(
        "(() => { const c = document.querySelector('svg[data-chart=roc]'); c.scrollIntoView({block: 'center'});"
        " const b = c.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    # Scrolling hides what is shown, one frame later
    opened.ask("new Promise(done => setTimeout(done, 100))")
    opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    assert "false positive rate 0." in opened.ask("document.getElementById('tip').textContent")
    assert opened.ask("getComputedStyle(document.getElementById('tip')).visibility") == "visible"


def test_rows_are_filtered_sorted_and_paged(opened: Browser) -> None:
    cells = "[...document.querySelectorAll('#samples-table tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    first = opened.ask(cells)
    assert len(first) == 20
    losses = [float(row[4]) for row in first]
    assert losses == sorted(losses, reverse=True)
    opened.ask("document.querySelector('button[data-page=\"1\"]').click()")
    assert float(opened.ask(cells)[0][4]) <= losses[-1]
    field = "document.getElementById('samples-filter')"
    opened.ask(f"{field}.value = '{{{{7*7}}}}', {field}.dispatchEvent(new Event('input'))")
    found = opened.ask(cells)
    assert found
    assert all(any("{{7*7}}" in cell for cell in row) for row in found)


def test_nothing_is_wider_than_a_phone(opened: Browser) -> None:
    opened.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    assert opened.ask("document.documentElement.scrollWidth") <= 390
    opened.call("Emulation.clearDeviceMetricsOverride")


def test_on_a_phone_scores_are_read_without_scrolling_and_arguments_stay_whole(opened: Browser) -> None:
    opened.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    wide = "[...document.querySelectorAll('.wide:has(> .stacked)')].map((w) => [w.scrollWidth, w.clientWidth])"
    widths = opened.ask(wide)
    assert widths
    assert all(inner <= outer for inner, outer in widths)
    named = "[...document.querySelectorAll('#metrics tr.main td')].map((c) => getComputedStyle(c, '::before').content)"
    assert '"95\xa0% interval"' in opened.ask(named)
    whole = "[...document.querySelectorAll('#overview .whole')].map((w) => [w.textContent, w.clientHeight])"
    [height] = [height for text, height in opened.ask(whole) if text.startswith("random_state=0")]
    assert 0 < height < 30
    opened.call("Emulation.clearDeviceMetricsOverride")
