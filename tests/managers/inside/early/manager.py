"""Starts the published manager (1.1 to 18.12), unchanged but for where it listens.

The abstract socket between its processes gets a name of its own, and no cloud is asked for the id
and address of this machine.
"""

import os
import sys

from ai.backend.common import identity
from loopback import HOST, answer

identity.get_instance_id = answer("i-manager")
identity.get_instance_ip = answer(HOST)

try:
    from ai.backend.gateway import events

    events.EVENT_IPC_ADDR = "ipc://@/backendai-events-%s" % os.environ["LAB_TAG"]
except (ImportError, AttributeError):
    pass  # before 1.3 there is no such socket

from ai.backend.gateway.server import main

sys.exit(main())
