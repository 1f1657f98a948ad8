"""The messages between client and server, without I/O.

Every message is a frozen dataclass with an ``encode``/``decode`` pair that both sides share: the
client encodes what the gateway decodes and the other way round. Decoders take bytes from a stranger
and raise nothing but `backendai_trio.errors.RemoteProtocolError`.
"""
