"""The workspace: tasks, comments, members, conversations, accounts. One operation gives rows and events together."""
