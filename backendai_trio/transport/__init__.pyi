from .connection_state import ConnectionState as ConnectionState
