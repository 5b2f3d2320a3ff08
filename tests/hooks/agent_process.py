"""An agent in a process of its own, for tests that kill it: `python agent_process.py HOME FROM TO MODE`.

Fires `post_tool` for each number from FROM to TO. Mode `kill`: it dies by SIGKILL as soon as the last firing has
returned; `end`: it closes its hooks and ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from hookyard import Hooks


async def main(home: str, first: int, last: int, mode: str) -> None:
    hooks = Hooks.load(home=home, environ={"ATOMCODE_HOME": f"{home}/atomcode"})
    for number in range(first, last):
        await hooks.fire("post_tool", tool_name="bash", tool_args={}, result=str(number), success=True, duration_ms=1)
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    await hooks.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
