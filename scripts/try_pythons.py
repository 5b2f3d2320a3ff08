"""Try the light install on every Python that is found: `uv run python -m scripts.try_pythons`.

For each of 3.11 to 3.14 that pyenv or PATH has: an environment, the package with its test tools, and the tests of hooks
and core. A version that is not found is named and skipped. Exits 1 when one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "pytest-randomly", "hypothesis")
LIBRARIES = ("psycopg[binary]", "standardwebhooks", "flask", "requests", "cloudevents", "pydantic", "structlog")
TESTS = ("tests/hooks", "tests/core")
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Try each version and exit."""
    failed = []
    for version in VERSIONS:
        python = find(version)
        if python is None:
            print(f"{version}: not found, not tried", flush=True)
        elif not works_with(python):
            failed.append(version)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def find(version: str) -> Path | None:
    """Return an interpreter of a version, from pyenv or PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for directory in sorted(pyenv.glob(f"{version}.*"), reverse=True):
        if (directory / "bin" / "python").exists():
            return directory / "bin" / "python"
    program = shutil.which(f"python{version}")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-c", ""], capture_output=True, check=False
    )  # pyenv's shims exist without a version
    return Path(program) if done.returncode == 0 else None


def works_with(python: Path) -> bool:
    """Return whether the tests pass with an interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        venv = Path(directory) / "venv"
        subprocess.run(["uv", "venv", "--quiet", "--python", str(python), str(venv)], check=True)
        target = ["uv", "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
        subprocess.run([*target, "-e", f"{ROOT}[server]", *TOOLS, *LIBRARIES], check=True)
        command = [str(venv / "bin" / "python"), "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *TESTS]
        done = subprocess.run(command, cwd=ROOT, check=False)
    print(f"{python}: {'passed' if done.returncode == 0 else 'FAILED'}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
