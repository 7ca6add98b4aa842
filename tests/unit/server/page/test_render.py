"""The HTML of the pages, as a parser sees it: names, logs and messages are anybody's text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.server.page import assets, render
from sdsuper.server.page.render import LogPage
from sdsuper.server.page.view import Filter, Overview, Row, count, narrowed, sections
from sdsuper.values import Namespec

NASTY = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{spec}%00"
VOID = {"meta", "link", "input", "col", "img", "br"}


class Page(HTMLParser):
    """A document: its elements, and whether they are closed in order."""

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(document.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def row(spec: str, state: ProcessState = ProcessState.RUNNING, text: str = "") -> Row:
    group, _, name = spec.rpartition(":")
    return Row(Namespec(group or name, name), state, "ok", 5.0, 42, 3, "1 %", "2 B", text, text)


def overview(
    *rows: Row,
    text: str = "",
    state: ManagerState = ManagerState.RUNNING,
    wanted: Filter = Filter(),  # noqa: B008 - frozen
) -> Page:
    shown = narrowed(sections(rows), wanted)
    named = text or "supervisor"
    page = Overview(
        named, text or "host", "gen", state, 65.0, shown, count(rows), text, "TOKEN", wanted
    )
    return Page(render.overview(page))


def log(name: str | None = "web", text: str = "", search: str = "") -> Page:
    stream = "logtail/web/stdout" if name else ""
    return Page(render.log(LogPage(name, "stdout", text, 4096, stream, search, "TOKEN")))


def pages_of(text: str) -> list[Page]:
    ask = render.confirmation(action=text, name=text, label=text, token="TOKEN", why=text)
    return [
        overview(row("x"), row(f"g:{text}", text=text), text=text, wanted=Filter("", "")),
        overview(row("x"), text=text, wanted=Filter(text, text)),
        log(text, text, text),
        Page(ask),
        Page(render.refusal(text, text)),
    ]


@pytest.mark.parametrize("number", range(5))
def test_hostile_text_makes_no_element_and_no_attribute(number: int) -> None:
    plain, hostile = pages_of("harmless")[number], pages_of(NASTY)[number]

    def shape(page: Page) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    assert shape(hostile) == shape(plain)
    assert NASTY in "".join(hostile.texts)


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    for page in pages_of("harmless"):
        for tag, attributes in page.elements:
            assert tag not in {"style", "iframe", "object", "base"}
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            for name in ("href", "src", "action", "formaction"):
                address = attributes.get(name) or ""
                # Relative, so that a proxy may serve us below any path.
                assert not address.startswith(("/", "http", "javascript"))
        assert [script.get("src") for script in page.all("script")] == [assets.SCRIPT.address]
    for asset in (assets.STYLE, assets.SCRIPT):
        assert not re.search(rb"https?://|url\(|@import|eval\(|innerHTML", asset.content)


def test_every_form_that_changes_something_has_the_token() -> None:
    for page in pages_of("harmless"):
        posts = [form for form in page.all("form") if form.get("method") == "post"]
        tokens = [field for field in page.all("input") if field.get("name") == "token"]
        assert [token["value"] for token in tokens] == ["TOKEN"] * len(posts)


def test_a_row_tells_what_is_known() -> None:
    page = overview(row("g:web", text="12 jobs"))
    attributes = next(each for each in page.all("tr") if "data-name" in each)
    assert (attributes["data-name"], attributes["data-state"]) == ("g:web", "running")
    text = " ".join(page.texts)
    for told in ("web", "pid 42", "12 jobs", "1m 00s", "1 %", "2 B", "3"):
        assert told in text
    assert [each["value"] for each in page.all("button") if each.get("name") == "do"] == [
        "start g:web",
        "restart g:web",
        "stop g:web",
        "clearlog g:web",
    ]
    links = [each.get("href") for each in page.all("a")]
    assert "tail.html?processname=g%3Aweb" in links
    assert "index.html?processname=g%3A%2A&action=stop" in links


def test_what_the_buttons_are_about_is_said_to_those_who_do_not_see_the_row() -> None:
    page = overview(row("g:web"))
    labels = [each.get("aria-label") for each in page.all("button") if each.get("name") == "do"]
    assert labels == ["Start g:web", "Restart g:web", "Stop g:web", "Clear log of g:web"]
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    assert any(each.get("aria-live") == "polite" for each in page.all("p"))
    assert {each["for"] for each in page.all("label") if "for" in each} == {"q"}


def test_without_programs() -> None:
    page = overview()
    assert render.NO_PROGRAMS in page.texts
    assert page.all("table") == []


def test_a_filter_that_nothing_fits() -> None:
    page = overview(row("a"), wanted=Filter("nope"))
    assert "Nothing matches the filter" in page.texts
    assert page.all("table") == []


def test_a_state_is_chosen_and_let_go_by_a_link() -> None:
    page = overview(row("a"), row("b", ProcessState.FATAL), wanted=Filter("x y", "fatal"))
    chips = {each["data-count"]: each for each in page.all("a") if "data-count" in each}
    assert chips["fatal"]["href"] == "./?q=x%20y"
    assert chips["fatal"]["aria-current"] == "true"
    assert chips["running"]["href"] == "./?q=x%20y&state=running"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (ManagerState.RUNNING, None),
        (ManagerState.SHUTDOWN, render.STOPPING),
        (ManagerState.RESTARTING, render.RESTARTING),
    ],
)
def test_a_daemon_that_stops_says_so(state: ManagerState, told: str | None) -> None:
    page = overview(row("a"), state=state)
    assert any(each.get("role") == "alert" for each in page.all("p")) is (told is not None)
    assert told is None or told in page.texts


def test_the_page_of_a_log() -> None:
    page = log("g:web", "line <1>\n", "li")
    assert "line <1>\n" in page.texts
    assert {each.get("href") for each in page.all("a")} >= {
        "tail.html?processname=g%3Aweb&channel=stderr",
        "tail.html?processname=g%3Aweb&channel=stdout&limit=16384&q=li",
        "logtail/web/stdout",
    }
    assert page.all("pre")[0]["tabindex"] == "0"
    main = log("")
    assert render.MAIN_LOG in main.texts
    assert [each.get("value") for each in page.all("button") if "name" in each] == [
        "clearlog g:web"
    ]
    assert [each for each in main.all("button") if "name" in each] == []


def test_errors_are_told_apart_by_their_words() -> None:
    assert render.is_error("ERROR: Process a: spawn error")
    assert render.is_error("unexpected rpc fault [70] NOT_RUNNING: a")
    assert render.is_error("No such process named a")
    assert not render.is_error("Process a started")


def test_the_files_have_the_names_of_their_content() -> None:
    folder = Path(render.__file__).parent / "assets"
    assert {path.name for path in folder.iterdir()} == {"page.css", "page.js", "icon.svg"}
    for asset in assets.ASSETS.values():
        assert (
            asset.content
            == (folder / asset.path.rpartition("/")[2].replace("supervisor", "page")).read_bytes()
        )
        assert asset.address.endswith(asset.version)
