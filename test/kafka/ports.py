#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on loopback, for servers that must be told their port before they start.

The kernel hands out ports for outgoing connections from net.ipv4.ip_local_port_range; a port from below that range
cannot be taken by a client between the moment it is found free here and the moment the server binds it.
"""
import random
import socket
import sys

LOWEST = 15000
HIGHEST = 32000


def free_ports(count):
    """Return `count` different ports (int, 15000..32000) that nothing on 127.0.0.1 listens on at this moment."""
    held = []
    try:
        while len(held) < count:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                sock.bind(("127.0.0.1", random.randint(LOWEST, HIGHEST)))
            except OSError:
                sock.close()
                continue
            held.append(sock)
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
