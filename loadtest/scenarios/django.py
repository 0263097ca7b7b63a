"""Django over WSGI: one view, no middleware, so that the server's share stays visible."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from loadtest.scenario import WSGI_SERVERS, Scenario

SCENARIO = Scenario(
    name="django",
    about="Django over WSGI, one view, no middleware",
    app="loadtest.scenarios.django:app",
    interface="wsgi",
    servers=WSGI_SERVERS,
    body=b"Hello, World!",
)


def hello(request: HttpRequest) -> HttpResponse:
    """Answer with 13 bytes."""
    return HttpResponse("Hello, World!", content_type="text/plain")


urlpatterns = [path("", hello)]

if not settings.configured:
    settings.configure(
        DEBUG=False,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        INSTALLED_APPS=[],
        SECRET_KEY="for the load test only",
        USE_I18N=False,
    )

app = get_wsgi_application()
