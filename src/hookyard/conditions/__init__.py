"""Evaluate callback conditions: JavaScript in a pool of isolated processes. Knows no callback."""
