"""The path of an event: match, conditions, and one transaction with every gate, the event and its runs."""
