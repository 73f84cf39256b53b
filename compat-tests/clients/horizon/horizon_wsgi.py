"""Horizon, and its static files beside it, so that gunicorn alone serves a whole dashboard."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openstack_dashboard.settings")

from django.conf import settings  # noqa: E402
from openstack_dashboard.wsgi import application as dashboard  # noqa: E402
from whitenoise import WhiteNoise  # noqa: E402

application = WhiteNoise(dashboard, root=settings.STATIC_ROOT, prefix="static/")
