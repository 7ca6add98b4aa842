"""A real browser for tests: headless Chromium, driven through its own driver."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement  # noqa: TC002 - as everywhere

from tests.integration.harness import wait_until

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
)


class Browser:
    """One window."""

    def __init__(self, profile: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(shutil.which("chromedriver") or "")
        self.driver = webdriver.Chrome(options=options, service=service)
        self.shape()

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()

    def reset(self) -> None:
        """Forget what a test has set."""
        self.driver.get("about:blank")
        self.scripts(allowed=True)
        self.colours("light")
        self.shape()
        self.complaints()

    # What it is like

    def shape(self, width: int = 1280, height: int = 900) -> None:
        """Set the size of the window, in pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, scheme: str) -> None:
        """Set whether the visitor prefers `light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def scripts(self, *, allowed: bool) -> None:
        """Set whether pages may run scripts."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    # What is done in it

    def open(self, url: str) -> None:
        """Go somewhere."""
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """Return the first element that fits, as soon as there is one."""
        found: WebElement = self.wait(lambda: self.all(selector), f"an element {selector}")[0]
        return found

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that fit at this moment."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def seen(self, selector: str) -> list[WebElement]:
        """Return those that a visitor sees."""
        return [element for element in self.all(selector) if element.is_displayed()]

    def text(self, selector: str) -> str:
        """Return the text of an element as it is seen, "" where there is none."""
        found = self.all(selector)
        return found[0].text if found else ""

    def row(self, name: str) -> str:
        """Return the selector of a process's row."""
        return f'tr[data-name="{name}"]'

    def click(self, name: str, label: str) -> None:
        """Click a button or link in the row of a process."""
        for each in self.seen(f"{self.row(name)} .c-do > *"):
            if each.text == label:
                each.click()
                return
        raise AssertionError(f"no {label} for {name}")

    def press(self, *keys: str) -> WebElement:
        """Press keys where the focus is; return where it is then."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)
        return self.driver.switch_to.active_element

    def tab_to(self, label: str, most: int = 60) -> WebElement:
        """Press Tab until something with this accessible name has the focus."""
        for _ in range(most):
            focused = self.press(Keys.TAB)
            if focused.accessible_name == label:
                return focused
        raise AssertionError(f"{label} is not reached with {most} times Tab")

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    # What is seen

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        """Return the first true value, also while the page changes beneath it."""

        def asked() -> Any:
            with contextlib.suppress(StaleElementReferenceException):
                return true()
            return None

        try:
            return wait_until(asked, 20, what)
        except AssertionError:
            self.screenshot("failed")
            raise

    def wait_state(self, name: str, state: str) -> None:
        """Wait until the row of a process shows a state."""
        self.wait(lambda: self.text(f"{self.row(name)} .state") == state, f"{name} is {state}")

    def screenshot(self, name: str) -> None:
        """Keep what is seen now."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(WebDriverException):
            self.driver.save_screenshot(str(SCREENSHOTS / f"{name}.png"))

    def complaints(self) -> list[str]:
        """Return what the console said since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser with a new, empty profile."""
    with tempfile.TemporaryDirectory(prefix="sdchrome", ignore_cleanup_errors=True) as profile:
        opened = Browser(profile)
        try:
            yield opened
        finally:
            opened.close()
