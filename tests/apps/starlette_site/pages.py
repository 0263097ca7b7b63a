"""The templates."""

from __future__ import annotations

from starlette.templating import Jinja2Templates

from site_parts import TEMPLATES

templates = Jinja2Templates(directory=TEMPLATES)
