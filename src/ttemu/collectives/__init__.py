"""Move values between the devices of a mesh: collectives, and the routing of tokens to experts."""
