"""A small FastAPI service: `swhttp fastapi_app:app --app-dir examples`.

Shows a checked model, an endpoint that may block, and work after the answer; the documentation is at /docs.

    curl --json '{"name": "tea", "price": 2.5, "count": 4}' http://127.0.0.1:8000/orders
    curl http://127.0.0.1:8000/slow
"""

from __future__ import annotations

import logging
import time
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel, Field

app = FastAPI(title="Orders")
log = logging.getLogger(__name__)


class Order(BaseModel):
    """What is ordered; anything else is answered 422."""

    name: str
    price: Annotated[float, Field(gt=0)]
    count: Annotated[int, Field(ge=1, le=100)] = 1


def confirm(order: Order) -> None:
    """Runs after the answer: the client does not wait for it."""
    log.warning("confirmed: %d of %s", order.count, order.name)


@app.post("/orders", status_code=201)
async def take(order: Order, tasks: BackgroundTasks) -> dict[str, float]:
    """An order."""
    tasks.add_task(confirm, order)
    return {"total": order.price * order.count}


@app.get("/slow")
def slow() -> dict[str, str]:
    """Not `async`: FastAPI runs it in a thread, and the event loop goes on meanwhile."""
    time.sleep(0.1)
    return {"slow": "but in nobody's way"}
