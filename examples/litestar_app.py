"""A store of notes with Litestar: `swhttp litestar_app:app --app-dir examples --workers 1`.

Shows data classes as what is sent and received, dependencies, and a lifespan. What is in memory is one worker's own,
so there is one worker; the documentation is at /schema.

    curl --json '{"text": "buy tea"}' http://127.0.0.1:8000/notes
    curl http://127.0.0.1:8000/notes
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.di import Provide


@dataclass
class Note:
    """What is sent."""

    text: str


@dataclass
class Store:
    """All notes."""

    notes: list[Note] = field(default_factory=list)


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Runs once in each worker: open pools here, close them after the yield."""
    app.state.store = Store()
    yield


async def provide_store(state: State) -> Store:
    """What handlers get for a parameter named `store`."""
    return state.store


@post("/notes")
async def write(data: Note, store: Store) -> Note:
    """Another note; one without a text is answered 400."""
    store.notes.append(data)
    return data


@get("/notes")
async def read(store: Store) -> list[Note]:
    """All notes."""
    return store.notes


app = Litestar([write, read], dependencies={"store": Provide(provide_store)}, lifespan=[lifespan])
