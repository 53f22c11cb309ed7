"""Finding plugins, loading them one by one, and keeping count of who offers what.

Built-ins, installed distributions, local files and plain functions all come in through the same hooks.
"""

from lydite.plugins.files import import_file
from lydite.plugins.loading import BLOCK_VARIABLE, load_plugins
from lydite.plugins.offers import KINDS, SINGULAR, Failure, Kind, Offer, Owner
from lydite.plugins.registry import Plugins

__all__ = [
    "BLOCK_VARIABLE",
    "KINDS",
    "SINGULAR",
    "Failure",
    "Kind",
    "Offer",
    "Owner",
    "Plugins",
    "import_file",
    "load_plugins",
]
