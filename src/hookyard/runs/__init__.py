"""Runs: admission, durable execution, the timeline, recovery.

A run is queued by `intake.run_requests` in its event's transaction. `admission` takes it, `engine` (behind the port of
`queue`) executes it, `execute` has an agent do it and tells `timeline`, `settle` stores how it ended, `recovery` starts
again what a dead worker left. `worker` puts these together; nothing here knows HTTP or a page.
"""
