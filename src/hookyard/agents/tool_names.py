"""The names of the built-in agent's tools, for what shows them without making any.

Used by `agents.tools` and by what says which tools a gate covers.
"""

TOOL_NAMES = (
    "read_file",
    "write_file",
    "edit_file",
    "list_directory",
    "search_files",
    "bash",
    "get_task",
    "create_task",
    "update_task",
    "comment_task",
)
"""Every tool of the contract."""
