"""Sockets are opened before the server runs: an address that cannot be had is a reason not to start, said as such."""

from __future__ import annotations

import errno
import logging
import os
import socket

from api.start import StartError

BACKLOG = 2048
_log = logging.getLogger("service")


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that a host has: localhost may have one of IPv4 and one of IPv6.

    Parameters
    ----------
    host : str
        A name, or an address of IPv4 or IPv6.
    port : int
        0: any that is free.

    Returns
    -------
    list of socket
        At least one.

    Raises
    ------
    StartError
        The host is not known or not here, or the port is taken or not for everybody.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sockets.append(_open(family, kind, protocol, address))
            except OSError as error:
                # A machine may know the address of IPv6 that localhost has, and have no IPv6
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(found) == 1:
                    raise
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except (OSError, UnicodeError) as error:
        for each in sockets:
            each.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise StartError(
            f"it cannot listen on MODEL_HOST {host[:100]!r}, MODEL_PORT {port} ({reason}). Give an address of this "
            "machine and a port that nothing else listens on."
        ) from None
    addresses = [each.getsockname()[:2] for each in sockets]
    _log.info("the service listens", extra={"fields": {"addresses": addresses}})
    return sockets


def _open(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # Else a port is taken for a minute after a service that listened on it has ended
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened
