"""Published Backend.AI servers on this machine, on loopback, without a container engine."""
