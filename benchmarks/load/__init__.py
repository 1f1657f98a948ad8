"""The parts of the group `load`: what a gateway bears, and how it refuses more."""
