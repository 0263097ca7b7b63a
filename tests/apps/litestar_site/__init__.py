"""The site of site_parts in Litestar: handlers, client-side sessions, compression, static files, debug pages."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Request
from litestar.config.compression import CompressionConfig
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.exceptions import NotFoundException
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.response import Template
from litestar.static_files import create_static_files_router
from litestar.template.config import TemplateConfig

import site_parts
from litestar_site import account, data


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.started = "lifespan"
    yield
    site_parts.note("stopped")


def not_found(request: Request[Any, Any, Any], error: NotFoundException) -> Template:
    return Template("error.html", context={"status": 404, "message": "nothing is here"}, status_code=404)


def broken(request: Request[Any, Any, Any], error: Exception) -> Template:
    return Template("error.html", context={"status": 500, "message": "that went wrong"}, status_code=500)


# The cookie is encrypted, with a key of 32 bytes.
sessions = CookieBackendConfig(secret=hashlib.sha256(site_parts.SECRET.encode()).digest())
app = Litestar(
    route_handlers=[
        *account.handlers,
        *data.handlers,
        create_static_files_router(path="/static", directories=[site_parts.STATIC]),
    ],
    template_config=TemplateConfig(directory=site_parts.TEMPLATES, engine=JinjaTemplateEngine),
    middleware=[sessions.middleware],
    compression_config=CompressionConfig(backend="gzip", exclude=["/events/"]),
    exception_handlers={NotFoundException: not_found} | ({} if site_parts.DEBUG else {500: broken}),
    lifespan=[lifespan],
    debug=site_parts.DEBUG,
)
