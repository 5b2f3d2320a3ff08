"""The pages: what a person sees. `routes` gives the whole table to `web.app`, which mounts it.

Reads through `pages.queries`, changes through the services of `web.services`. Pages know nothing of tokens and of the
API; both stand on the same services.
"""

from hookyard.web.pages.errors import respond
from hookyard.web.pages.table import routes

__all__ = ["respond", "routes"]
