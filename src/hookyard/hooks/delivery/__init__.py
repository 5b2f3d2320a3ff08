"""Send one webhook request: HTTP client, address guard, signature, retries, circuit breaker, reply."""
