"""The embedded gateway: the Backend.AI API on loopback, kernels as local processes.

It stands on `backendai_trio.wire` and `backendai_trio.signing`, the same messages that the client
uses, and knows nothing of the client.
"""
