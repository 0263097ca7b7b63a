"""The chats in examples/, with two pages in a browser: they talk, the server is reloaded under them, they talk on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support.chromium import Chromium, Page, chromium
from tests.support.fleet import Start
from tests.support.server import TESTS, Server

EXAMPLES = str(TESTS.parent / "examples")
SAID = 150  # by each page while the server is reloaded
PAUSE_MS = 10


@pytest.fixture
def browser() -> Iterator[Chromium]:
    """A browser of the test's own."""
    with chromium() as one:
        yield one


def enter(browser: Chromium, server: Server, name: str) -> Page:
    """Open the page, and say who is there."""
    page = browser.page(f"http://127.0.0.1:{server.port}/")
    page.wait_for("document.hasFocus() && document.activeElement.tagName === 'INPUT'")
    page.type(name)
    page.wait_for(f"document.querySelector('#status').textContent === 'here as {name}'")
    page.wait_for(f"{shown('notice')}.includes('{name} has come')")
    return page


def shown(kind: str) -> str:
    """JavaScript: the texts that the page shows, of a kind."""
    return f"[...document.querySelectorAll('#log li.{kind} span')].map(item => item.textContent)"


def said(page: Page, kind: str) -> list[str]:
    """What the page shows of that kind."""
    texts: list[str] = page.ask(shown(kind))
    return texts


def wait_for(page: Page, kind: str, text: str) -> None:
    """Until the page shows this."""
    page.wait_for(f"{shown(kind)}.includes({json.dumps(text)})")


def talk_on(page: Page, prefix: str) -> None:
    """Have the page say a number of things, one after the other, from now on."""
    page.ask(f"""void (async () => {{
        for (let number = 0; number < {SAID}; number++) {{
            input.value = `{prefix} ${{number}}`;
            form.requestSubmit();
            await new Promise(resolve => setTimeout(resolve, {PAUSE_MS}));
        }}
    }})()""")


def reload(server: Server) -> None:
    """Replace the workers, and wait until the new ones serve."""
    since = server.log.mark()
    server.kill(signal.SIGUSR1)
    server.wait_for_log(r"Reloaded in", timeout_s=30.0, since=since)


def test_pages_of_the_callback_chat_notice_nothing_of_reloads(server: Start, browser: Chromium) -> None:
    running = server("chat_sessions:app", "--ws-handler", "chat_sessions:Chat", "--app-dir", EXAMPLES,
                     "--workers", "2", "--reactors", "1")
    ada, grace = enter(browser, running, "Ada"), enter(browser, running, "Grace")
    before = set(running.workers())
    talk_on(ada, "from Ada")
    talk_on(grace, "from Grace")
    for _ in range(2):
        reload(running)
    assert not before & set(running.workers())
    for page, mine, theirs in ((ada, "from Ada", "from Grace"), (grace, "from Grace", "from Ada")):
        for kind, prefix in (("mine", mine), ("theirs", theirs)):
            wait_for(page, kind, f"{prefix} {SAID - 1}")
            assert said(page, kind) == [f"{prefix} {number}" for number in range(SAID)]
    assert said(ada, "notice") == ["Ada has come", "Grace has come"]
    assert said(grace, "notice") == ["Grace has come"]
    grace.tell("Page.close")
    wait_for(ada, "notice", "Grace has left")
    assert ada.complaints() == []


def test_pages_of_the_asgi_chat_say_that_they_connect_again(server: Start, browser: Chromium) -> None:
    running = server("chat_asgi:app", "--websocket-drain", "0.5", "--app-dir", EXAMPLES,
                     "--workers", "2", "--reactors", "2")
    ada, grace = enter(browser, running, "Ada"), enter(browser, running, "Grace")
    ada.type("Is anybody here?")
    wait_for(grace, "theirs", "Is anybody here?")
    reload(running)
    for page in (ada, grace):
        wait_for(page, "notice", "The server restarts. Connecting again …")
        page.wait_for("socket.readyState === WebSocket.OPEN && document.querySelector('#status').className === 'on'")
    # Each is in the room again when it has heard itself.
    for page, other, text in ((ada, grace, "Still here."), (grace, ada, "So am I.")):
        page.type(f"{text} Hear me?")
        wait_for(page, "mine", f"{text} Hear me?")
        other.type(f"{text} Yes.")
        wait_for(page, "theirs", f"{text} Yes.")
    assert [page.complaints() for page in (ada, grace)] == [[], []]
