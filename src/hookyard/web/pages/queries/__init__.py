"""What the pages read: one file a page area, statements against the schema, rows as frozen dataclasses.

Called by the pages, inside one reading transaction each. Every statement names the workspace first; lists are paged by
key, never by offset. Nothing here writes.
"""
