"""Hooks files: find, read, check and watch them; remember the last good version and what is trusted."""
