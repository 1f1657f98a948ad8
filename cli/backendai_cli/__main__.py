"""`python -m backendai_cli` is `backend.ai`."""

from .entry import backend_ai

backend_ai()
