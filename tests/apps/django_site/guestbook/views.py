"""The guest book: its entries and a form for another one."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from django_site.guestbook.models import Entry


class EntryForm(forms.ModelForm):
    """What is asked for."""

    class Meta:
        model = Entry
        fields = ("text",)


@require_http_methods(["GET", "POST"])
def entries(request: HttpRequest) -> HttpResponse:
    form = EntryForm(request.POST or None)
    if form.is_valid():
        form.save()
        messages.success(request, "Thank you.")
        return redirect("/entries")
    found = Entry.objects.order_by("pk")
    return render(request, "guestbook/entries.html", {"form": form, "entries": found})
