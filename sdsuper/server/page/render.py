"""What the page shows -> its HTML. Pure; all that is clever about it is in the style sheet."""

from __future__ import annotations

from collections.abc import Iterable

from sdsuper import __version__
from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.dataclass import dataclass
from sdsuper.server.page.assets import ICON, SCRIPT, STYLE
from sdsuper.server.page.html import NOTHING, Html, Template, join, url_part
from sdsuper.server.page.view import Filter, Overview, Row, Section, count, uptime

_DOCUMENT = Template("""
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>{title}</title>
    <link rel="icon" href="{icon}" type="image/svg+xml">
    <link rel="stylesheet" href="{style}">
    <script src="{script}" defer></script>
    </head>
    <body class="{kind}">
    <a class="skip" href="#main">{skip}</a>
    {body}
    </body>
    </html>
""")

_HEADER = Template("""
    <header class="top">
    <h1><a href="./">{identifier}</a> <span class="host">{host}</span></h1>
    <nav class="counts" aria-label="By state">{counts}</nav>
    <form class="find" method="get" action="./" role="search">
    <label for="q" class="hide">Filter by name</label>
    <input type="search" id="q" name="q" value="{text}" placeholder="Filter by name"
     autocomplete="off" spellcheck="false" aria-keyshortcuts="/">
    {kept}<button class="nojs">Filter</button>
    </form>
    <span class="live" id="live" role="status" hidden></span>
    </header>
""")

_KEPT = Template("""<input type="hidden" name="state" value="{state}">""")

_CHIP = Template(
    """<a class="chip" href="{href}" data-count="{state}"{current}><b>{number}</b> {state}</a>"""
)
_CURRENT = Html(' aria-current="true"')

_MAIN = Template("""
    <main id="main" tabindex="-1" data-now="{now}" data-generation="{generation}">
    <p class="message{bad}" id="message" role="status" aria-live="polite">{message}</p>
    {banner}
    <form method="post" action="index.html" id="actions">
    <input type="hidden" name="token" value="{token}">
    {tools}
    {columns}
    <div id="programs">{sections}</div>
    <p class="none" id="none"{hidden}>{none}</p>
    </form>
    </main>
    {footer}
""")

_COLUMNS = Html(
    '<div class="cols" aria-hidden="true"><span class="c-state">State</span>'
    '<span class="c-name">Name</span><span class="c-up">Uptime</span>'
    '<span class="c-cpu">CPU</span><span class="c-mem">Memory</span>'
    '<span class="c-n">Restarts</span><span class="c-do"></span></div>'
)

_TOOLS = Html(
    '<p class="tools"><a class="button" href="index.html?action=startall">Start all</a> '
    '<a class="button" href="index.html?action=restartall">Restart all</a> '
    '<a class="button danger" href="index.html?action=stopall">Stop all</a> '
    '<button class="nojs" type="submit" formmethod="get" formaction="./">Refresh</button></p>'
)

_BANNER = Template("""<p class="banner" role="alert">{text}</p>""")

_FOOTER = Template("""
    <footer><span>sdsuper {version}</span>
    <a href="tail.html?log=main">Log of the daemon</a></footer>
""")

_SECTION = Template("""
    <details class="group" data-key="{key}"{open}>
    <summary><h2>{title}</h2> <span class="sum">{sums}</span></summary>
    {tools}
    <table><caption class="hide">{title}</caption><colgroup><col class="c-state"><col>
    <col class="c-up"><col class="c-cpu"><col class="c-mem"><col class="c-n"><col class="c-do">
    </colgroup>
    <thead class="hide"><tr><th scope="col">State</th><th scope="col">Name</th>
    <th scope="col">Uptime</th><th scope="col">CPU</th><th scope="col">Memory</th>
    <th scope="col">Restarts</th><th scope="col">Actions</th></tr></thead>
    <tbody>{rows}</tbody></table>
    </details>
""")

_GROUP_TOOLS = Template("""
    <p class="tools"><a class="button" href="index.html?processname={spec}&amp;action=start"
    >Start group</a> <a class="button" href="index.html?processname={spec}&amp;action=restart"
    >Restart group</a> <a class="button danger" href="index.html?processname={spec}&amp;action=stop"
    >Stop group</a></p>
""")

_SUM = Template("""<span class="tally" data-state="{state}">{number} {state}</span>""")

_ROW = Template("""
    <tr data-name="{spec}" data-state="{state}" data-tone="{tone}">
    <td class="c-state"><span class="state">{state}</span></td>
    <th scope="row" class="c-name"><b>{name}</b> <span class="pid">{pid}</span>
    <span class="note">{note}</span><span class="end">{end}</span></th>
    <td class="c-up"{since}>{uptime}</td>
    <td class="c-cpu">{cpu}</td>
    <td class="c-mem">{memory}</td>
    <td class="c-n">{restarts}</td>
    <td class="c-do">
    <button name="do" value="start {spec}" aria-label="Start {spec}">Start</button>
    <button name="do" value="restart {spec}" aria-label="Restart {spec}">Restart</button>
    <button name="do" value="stop {spec}" aria-label="Stop {spec}">Stop</button>
    <a class="button" href="tail.html?processname={url}" aria-label="Log of {spec}">Log</a>
    <button name="do" value="clearlog {spec}" aria-label="Clear log of {spec}">Clear</button>
    </td></tr>
""")

_SINCE = Template(""" data-since="{since}\"""")

STOPPING = "The daemon is stopping everything and will end."
RESTARTING = "The daemon is stopping everything, and starts anew with its configuration read again."
NO_PROGRAMS = "No programs to manage"


def overview(page: Overview) -> bytes:
    """Return the status page."""
    hidden = bool(page.shown)
    body = _MAIN(
        now=f"{page.now:.1f}",
        generation=page.generation,
        bad=" bad" if is_error(page.message) else "",
        message=page.message,
        banner=_banner(page.state),
        token=page.token,
        tools=_TOOLS if page.total else NOTHING,
        columns=_COLUMNS if page.total else NOTHING,
        sections=join(_section(page, section) for section in page.shown),
        hidden=Html(" hidden") if hidden else NOTHING,
        none="Nothing matches the filter" if page.total else NO_PROGRAMS,
        footer=_FOOTER(version=__version__),
    )
    return _document(
        title=f"{page.identifier} on {page.host}",
        kind="status",
        skip="Skip to the programs",
        body=join((_header(page), body)),
    )


def is_error(message: str) -> bool:
    """Whether what became of an action is nothing good (the words are Supervisor's)."""
    return message.startswith(("ERROR", "unexpected", "No such"))


def _document(*, title: str, kind: str, skip: str, body: Html) -> bytes:
    return _DOCUMENT(
        title=title,
        kind=kind,
        skip=skip,
        body=body,
        icon=ICON.address,
        style=STYLE.address,
        script=SCRIPT.address,
    ).encode("utf-8", "replace")


def _header(page: Overview) -> Html:
    wanted = page.filter
    return _HEADER(
        identifier=page.identifier,
        host=page.host,
        counts=join(_chip(wanted, state, number) for state, number in page.counts),
        text=wanted.text,
        kept=_KEPT(state=wanted.state) if wanted.state else NOTHING,
    )


def _chip(wanted: Filter, state: ProcessState, number: int) -> Html:
    name = state.name.lower()
    current = wanted.state == name
    query = [f"q={url_part(wanted.text)}"] if wanted.text else []
    query += [] if current else [f"state={name}"]
    return _CHIP(
        href="./?" + "&".join(query) if query else "./",
        state=name,
        number=number,
        current=_CURRENT if current else NOTHING,
    )


def _banner(state: ManagerState) -> Html:
    match state:
        case ManagerState.SHUTDOWN:
            return _BANNER(text=STOPPING)
        case ManagerState.RESTARTING:
            return _BANNER(text=RESTARTING)
        case _:
            return NOTHING


def _section(page: Overview, section: Section) -> Html:
    return _SECTION(
        key=section.key,
        open=Html(" open") if page.is_open(section) else NOTHING,
        title=section.key or "Programs",
        sums=_sums(section.rows),
        tools=_GROUP_TOOLS(spec=url_part(f"{section.key}:*")) if section.key else NOTHING,
        rows=join(_row(row, page.now) for row in section.rows),
    )


def _sums(rows: Iterable[Row]) -> Html:
    return join(
        (_SUM(state=state.name.lower(), number=number) for state, number in count(rows)), " "
    )


def _row(row: Row, now: float) -> Html:
    return _ROW(
        spec=row.spec,
        url=url_part(row.spec),
        name=row.name.process,
        state=row.state.name.lower(),
        tone=row.tone,
        pid=f"pid {row.pid}" if row.pid else "",
        note=row.note,
        end=row.end,
        since=NOTHING if row.since is None else _SINCE(since=row.since),
        uptime=uptime(row, now),
        cpu=row.cpu,
        memory=row.memory,
        restarts=row.restarts or "",
    )


# -- before something is done ----------------------------------------------------------------------

_ASK = Template("""
    <main id="main" tabindex="-1" class="question">
    <h1>{title}</h1>
    {why}
    <form method="post" action="index.html">
    <input type="hidden" name="token" value="{token}">
    <input type="hidden" name="processname" value="{name}">
    <button class="primary" name="action" value="{action}" autofocus>{label}</button>
    <a class="button" href="./">Cancel</a>
    </form>
    </main>
""")

_WHY = Template("<p>{text}</p>")

_REFUSAL = Template("""
    <main id="main" tabindex="-1" class="question">
    <h1>{title}</h1>
    <p>{text}</p>
    <p><a class="button" href="./">To the programs</a></p>
    </main>
""")


def confirmation(*, action: str, name: str, label: str, token: str, why: str = "") -> bytes:
    """Return the page that asks whether an action is meant.

    Args:
        action: As the form sends it.
        name: Of the process; "" for none.
        label: The action in words.
        token: What the form must carry.
        why: What else there is to say.
    """
    body = _ASK(
        title=f"{label}?",
        why=_WHY(text=why) if why else NOTHING,
        token=token,
        name=name,
        action=action,
        label=label,
    )
    return _document(title=label, kind="ask", skip="Skip to the question", body=body)


def refusal(title: str, text: str) -> bytes:
    """Return the page that says why nothing was done."""
    body = _REFUSAL(title=title, text=text)
    return _document(title=title, kind="ask", skip="Skip to the text", body=body)


# -- logs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogPage:
    """The page of one log.

    Attributes:
        name: The process as the visitor wrote it; "" for the daemon itself, None where it was
            not said which.
        text: The end of the log, or why there is none.
        limit: How much of the end was asked for, bytes.
        stream: Address of the log as it grows, "" for none.
        search: What the visitor looks for; lines without it are left out of `text`.
    """

    name: str | None
    channel: str
    text: str
    limit: int
    stream: str
    search: str
    token: str


_LOG_TOP = Template("""
    <header class="top">
    <h1><a href="./">All programs</a> <span class="host">{title}</span></h1>
    <nav class="tabs" aria-label="Log">{tabs}</nav>
    <form class="find" method="get" action="tail.html" role="search">
    {kept}
    <label for="q" class="hide">Search in the log</label>
    <input type="search" id="q" name="q" value="{search}" placeholder="Search in the log"
     autocomplete="off" spellcheck="false" aria-keyshortcuts="/">
    <button class="nojs">Only lines with this</button>
    </form>
    <span class="live" id="live" role="status" hidden></span>
    </header>
""")

_LOG_MAIN = Template("""
    <main id="main" tabindex="-1" class="log">
    <p class="message" id="message" role="status" aria-live="polite"></p>
    <form class="tools" method="post" action="index.html">
    <input type="hidden" name="token" value="{token}">
    <span class="js"><label><input type="checkbox" id="follow" checked> Follow</label>
    <label><input type="checkbox" id="only"> Only matches</label>
    <label><input type="checkbox" id="wrap" checked> Wrap lines</label></span>
    <a class="button" href="{again}">Refresh</a>
    <a class="button" href="{more}">More of the past</a>
    {raw}
    {clear}
    <span id="found" class="found" role="status"></span>
    </form>
    <pre id="text" tabindex="0" role="log" aria-live="off" aria-label="{title}"
     data-stream="{stream}">{text}</pre>
    </main>
""")

_TAB = Template("""<a href="{href}"{current}>{label}</a>""")
_HIDDEN = Template("""<input type="hidden" name="{name}" value="{value}">""")
_RAW = Template("""<a class="button" href="{href}">Plain text</a>""")
_CLEAR = Template("""<button name="do" value="clearlog {name}" class="danger">Clear log</button>""")

MAIN_LOG = "Log of the daemon"
LIMIT_MAX = 1024 * 1024
"""The most of a log that one page shows, bytes."""


def log(page: LogPage) -> bytes:
    """Return the page of a log."""
    title = MAIN_LOG if page.name == "" else page.name or "Which log?"
    which = [("log", "main")] if not page.name else [("processname", page.name)]
    if page.name is None:
        which = []
    here = [*which, ("channel", page.channel)] if page.name else which
    top = _LOG_TOP(
        title=title,
        tabs=join(_tab(page, channel) for channel in ("stdout", "stderr"))
        if page.name
        else NOTHING,
        kept=join(
            _HIDDEN(name=name, value=value) for name, value in [*here, ("limit", page.limit)]
        ),
        search=page.search,
    )
    searched = [("q", page.search)] if page.search else []
    body = _LOG_MAIN(
        token=page.token,
        again="tail.html" + _query([*here, ("limit", page.limit), *searched]),
        more="tail.html" + _query([*here, ("limit", min(page.limit * 4, LIMIT_MAX)), *searched]),
        raw=_RAW(href=page.stream) if page.stream else NOTHING,
        clear=_CLEAR(name=page.name) if page.name else NOTHING,
        title=title,
        stream=page.stream,
        text=page.text,
    )
    return _document(
        title=f"{title} - log", kind="logs", skip="Skip to the log", body=join((top, body))
    )


def _tab(page: LogPage, channel: str) -> Html:
    return _TAB(
        href="tail.html" + _query([("processname", page.name or ""), ("channel", channel)]),
        label=channel,
        current=Html(' aria-current="page"') if channel == page.channel else NOTHING,
    )


def _query(pairs: Iterable[tuple[str, object]]) -> str:
    text = "&".join(f"{name}={url_part(str(value))}" for name, value in pairs)
    return f"?{text}" if text else ""
