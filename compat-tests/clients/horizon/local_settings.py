"""Horizon without a database, a cache server or a web server: sessions in its one process, pages compressed once.

Not in signed cookies: there Horizon keeps no token of a domain, and a large catalogue outgrows the cookie.
"""

import os

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = os.environ["HORIZON_SECRET"]
WEBROOT = "/"
STATIC_ROOT = os.path.join(os.environ["HORIZON_FOLDER"], "static")
STATIC_URL = "/static/"
COMPRESS_ENABLED = True
COMPRESS_OFFLINE = True
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
OPENSTACK_HOST = "127.0.0.1"
OPENSTACK_KEYSTONE_URL = os.environ.get("OPENSTACK_KEYSTONE_URL", "http://127.0.0.1:5000/identity/v3")
OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT = True
OPENSTACK_KEYSTONE_DEFAULT_DOMAIN = "Default"
OPENSTACK_API_VERSIONS = {"identity": 3, "image": 2, "volume": 3}
OPENSTACK_ENDPOINT_TYPE = "publicURL"
TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": os.path.join(os.environ["HORIZON_FOLDER"], "horizon.log")}},
    "root": {"handlers": ["file"], "level": "WARNING"},
}
