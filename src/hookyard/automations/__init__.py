"""Callbacks as people manage them: create, change, version, check, preview, YAML files."""
