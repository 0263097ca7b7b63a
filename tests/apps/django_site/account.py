"""Who is logged in, in Django's signed session cookie."""

from __future__ import annotations

import os

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST


class LoginForm(forms.Form):
    """What /login takes."""

    name = forms.CharField(max_length=100)


def _see_other(location: str) -> HttpResponse:
    return HttpResponse(status=303, headers={"Location": location})


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "index.html", {"user": request.session.get("name", "stranger")})


@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    form = LoginForm(request.POST or None)
    if not form.is_valid():
        return render(request, "login.html")
    request.session["name"] = form.cleaned_data["name"]
    answer = _see_other("/me")
    answer.set_cookie("theme", "dark")
    return answer


@csrf_exempt
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return _see_other("/")


@require_GET
def me(request: HttpRequest) -> HttpResponse:
    if "name" not in request.session:
        return HttpResponse("log in first", status=401)
    return JsonResponse({"name": request.session["name"], "pid": os.getpid()})


urlpatterns = [path("", index), path("login", login), path("logout", logout), path("me", me)]
