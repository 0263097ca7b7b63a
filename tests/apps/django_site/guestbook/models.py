"""What people leave."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):
    """One entry of the guest book."""

    text = models.CharField(max_length=200)
    written_at = models.DateTimeField(auto_now_add=True)
