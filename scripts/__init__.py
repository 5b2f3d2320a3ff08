"""Commands for those who work on hookyard."""
