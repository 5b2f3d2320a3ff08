"""The hooks of other agents: theirs in, ours out; one file for each dialect."""
