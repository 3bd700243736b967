"""Google's own API (Gemini), for providers with the api `google-generative-ai`.

Needs the extra `google`; imported when such a provider is first asked.

Source: Gemini API reference, "models.streamGenerateContent".
"""

from __future__ import annotations

import re

import httpx2
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider

from portico.agents.model.catalog import ProviderSpec

_VERSION = re.compile(r"/v1(beta)?(/openai)?/?$")  # the SDK puts it there itself


class GoogleClient:
    """One provider's connections."""

    def __init__(self, spec: ProviderSpec, api_key: str) -> None:
        self._http = httpx2.AsyncClient(headers=dict(spec.headers), timeout=spec.timeout_s)
        self._provider = GoogleProvider(
            api_key=api_key, http_client=self._http, base_url=_VERSION.sub("", spec.base_url)
        )

    def model(self, model_id: str) -> GoogleModel:
        """Return a model."""
        return GoogleModel(model_id, provider=self._provider)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
