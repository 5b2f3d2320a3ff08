"""Speed, always beside a floor that is measured in the same run: `uv run python -m benchmarks`."""
