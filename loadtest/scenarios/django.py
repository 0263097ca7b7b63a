"""Django over WSGI: one view, and of the middleware only what sets Content-Length.

Without that header bjoern sends chunks, which Nagle's algorithm holds back for 40 ms each: a figure of no use.
"""

from __future__ import annotations

from django.conf import settings  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from loadtest.scenario import WSGI_SERVERS, Scenario

SCENARIO = Scenario(
    name="django",
    about="Django over WSGI, one view, CommonMiddleware",
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
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        INSTALLED_APPS=[],
        SECRET_KEY="for the load test only",
        USE_I18N=False,
    )

app = get_wsgi_application()
