"""The site of site_parts in Django: `django_site.wsgi:application` and `django_site.asgi:application`.

It has what the others have not: a database (SITE_DB, made by `manage.py migrate`) and forms that a token protects.
"""
