"""The site of site_parts in Quart: an application factory, two blueprints, signed cookies, startup hooks."""

from __future__ import annotations

from quart import Quart, render_template
from werkzeug.exceptions import NotFound

import site_parts
from quart_site import account, data


def create_app() -> Quart:
    """The whole site."""
    app = Quart(
        __name__,
        static_folder=str(site_parts.STATIC),
        static_url_path="/static",
        template_folder=str(site_parts.TEMPLATES),
    )
    app.config["SECRET_KEY"] = site_parts.SECRET
    app.register_blueprint(data.blueprint)
    app.register_blueprint(account.blueprint)
    app.register_error_handler(404, not_found)
    if site_parts.DEBUG:
        app.debug = True
    else:
        app.register_error_handler(500, broken)

    @app.before_serving
    async def start() -> None:
        app.config["STARTED"] = "lifespan"

    @app.after_serving
    async def stop() -> None:
        site_parts.note("stopped")

    return app


async def not_found(error: NotFound) -> tuple[str, int]:
    return await render_template("error.html", status=404, message="nothing is here"), 404


async def broken(error: Exception) -> tuple[str, int]:
    return await render_template("error.html", status=500, message="that went wrong"), 500


app = create_app()
