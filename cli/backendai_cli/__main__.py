"""`python -m backendai_cli` is `backend.ai`."""

from .main import main

main()
