"""The site of site_parts in Flask: an application factory, two blueprints, Flask's signed cookies, its debugger."""

from __future__ import annotations

from flask import Flask, render_template
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import NotFound

from flask_site import account, data
from site_parts import DEBUG, SECRET, STATIC, TEMPLATES


def create_app() -> Flask:
    """The whole site."""
    app = Flask(__name__, static_folder=str(STATIC), static_url_path="/static", template_folder=str(TEMPLATES))
    app.config["SECRET_KEY"] = SECRET
    app.register_blueprint(data.blueprint)
    app.register_blueprint(account.blueprint)
    app.register_error_handler(404, not_found)
    if DEBUG:
        app.debug = True
        app.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=False)  # type: ignore[method-assign]
    else:
        app.register_error_handler(500, broken)
    return app


def not_found(error: NotFound) -> tuple[str, int]:
    return render_template("error.html", status=404, message="nothing is here"), 404


def broken(error: Exception) -> tuple[str, int]:
    return render_template("error.html", status=500, message="that went wrong"), 500


app = create_app()
