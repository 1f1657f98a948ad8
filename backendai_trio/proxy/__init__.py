"""A local server that signs what vanilla HTTP and WebSocket clients ask for, and passes it on."""
