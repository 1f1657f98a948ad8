"""Starts the published agent (23.09, 26.9) with a backend that runs sessions as processes.

Everything above "start a container" is the published agent, and what runs in the "container" is the
published kernel runner. The installed packages are left as they are: the backend takes the place of
the one that the settings call "dummy", in memory.
"""

import importlib
import sys

import ai.backend.agent

if int(ai.backend.agent.__version__.split(".")[0]) < 24:
    # The package declares the name "dummy", and ships no such module.
    import backend_23
    import session_files

    sys.modules["ai.backend.agent.dummy"] = backend_23
    sys.modules["ai.backend.agent.dummy.kernel"] = session_files
else:
    # Its "dummy" starts nothing, and answers every execution with "not-implemented".
    import backend_26
    from ai.backend.agent import dummy

    settings = backend_26.settings()
    dummy.get_agent_discovery = backend_26.get_agent_discovery
    for name in ("agent", "resources", "config"):
        module = importlib.import_module(f"ai.backend.agent.dummy.{name}")
        module.read_dummy_config = lambda: settings

if __name__ == "__main__":
    from ai.backend.agent.server import main

    sys.exit(main())
