"""What every other package may use: errors, clock, ids, validation, run states, verdicts."""
