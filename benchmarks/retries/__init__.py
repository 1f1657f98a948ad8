"""Many clients of one manager that fails, simulated on Trio's virtual clock, without a socket."""
