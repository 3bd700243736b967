"""How others find the gateway and get to it: mDNS on the local network, Tailscale beyond it."""
