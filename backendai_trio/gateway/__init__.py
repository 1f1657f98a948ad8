"""The embedded gateway: the Backend.AI API on loopback, kernels as local processes.

It stands on `backendai_trio.wire` and `backendai_trio.signing`, the same messages that the client
uses, and knows nothing of the client.
"""

from __future__ import annotations

from .faults import Faults as Faults
from .server import Gateway as Gateway
from .server import GatewayOptions as GatewayOptions
from .server import open_gateway as open_gateway
from .server import serve_gateway as serve_gateway
from .server import stored_config as stored_config
from .store import data_folder as data_folder

__all__ = [
    "Faults",
    "Gateway",
    "GatewayOptions",
    "data_folder",
    "open_gateway",
    "serve_gateway",
    "stored_config",
]
