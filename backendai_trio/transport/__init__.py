"""All network code of the client: HTTP in `client`, WebSocket in `websocket`."""
