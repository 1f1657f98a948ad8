"""The command line: `backend.ai`, and the short cuts `lcc` and `lpython`."""
