"""What a run cost, where the agent did not say and the model's price is known.

Called by `executor` when a run ends. Prices are those of genai-prices, which comes with pydantic-ai; an unknown model
has no cost rather than a guessed one.
"""

from __future__ import annotations

from hookyard.agents.base import Usage


def cost_usd(usage: Usage, model: str | None) -> float | None:
    """Return the price in US dollars, None when it is unknown.

    Args:
        usage: What was used up; its own `cost_usd` is taken when there is one.
        model: `provider:name`, None for an agent without one of ours.
    """
    if usage.cost_usd is not None:
        return usage.cost_usd
    if model is None or not usage.input_tokens + usage.output_tokens:
        return None
    # Imported late: 0.15 s, and most installations price nothing before their first run.
    import genai_prices

    provider, _, name = model.rpartition(":")
    tokens = genai_prices.Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    try:
        price = genai_prices.calc_price(tokens, model_ref=name, provider_id=provider or None)
    except LookupError:
        return None
    return float(price.total_price)
