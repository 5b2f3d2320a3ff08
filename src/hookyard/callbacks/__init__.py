"""Half two: an event becomes runs. One file for each step, in the order of the path."""
