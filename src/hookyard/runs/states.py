"""Re-export of `hookyard.run_status`, where the states of a run live."""

from hookyard.run_status import FINAL, LOST, TRANSITIONS, RunStatus, check

__all__ = ["FINAL", "LOST", "TRANSITIONS", "RunStatus", "check"]
