"""The hook points inside Python agent frameworks: one file for each, imported only when used."""
