"""Reads one large result over the protocol and throws it away: as little client as possible, so that the server shows.

The rows come in binary by the extended protocol. Their bytes are counted and not parsed; the end is where the bytes end in
the command's tag and "ready for query".
"""

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
import time

END = re.compile(rb"C\x00\x00\x00.SELECT (\d+)\x00Z\x00\x00\x00\x05[ITE]$", re.S)


class Refused(Exception):
    """The server answered with an error."""


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


class Reader:
    def __init__(self, target, database):
        self.socket = socket.create_connection((target.host, target.port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.authority:
            self.socket.sendall(struct.pack("!II", 8, 80877103))
            if self.socket.recv(1) != b"S":
                raise Refused("no TLS")
            context = ssl.create_default_context(cafile=target.authority)
            self.socket = context.wrap_socket(self.socket, server_hostname=target.host)
        words = ["user", target.user, "database", database]
        if target.purpose:
            words += ["options", f"-c vigie.purpose={target.purpose}"]
        body = struct.pack("!I", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self.authenticate(target)

    def exactly(self, n):
        got = b""
        while len(got) < n:
            more = self.socket.recv(n - len(got))
            if not more:
                raise Refused("the connection was closed")
            got += more
        return got

    def next(self):
        head = self.exactly(5)
        body = self.exactly(struct.unpack("!I", head[1:])[0] - 4)
        if head[:1] == b"E":
            raise Refused(body.replace(b"\0", b" ").decode(errors="replace"))
        return head[:1], body

    def authenticate(self, target):
        """SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding; the server's proof is checked."""
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        while True:
            kind, body = self.next()
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            code, rest = struct.unpack("!I", body[:4])[0], body[4:]
            if code == 10:
                first = ("n,," + bare).encode()
                self.socket.sendall(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
            elif code == 11:
                given = dict(part.split("=", 1) for part in rest.decode().split(","))
                salted = hashlib.pbkdf2_hmac("sha256", target.password.encode(), base64.b64decode(given["s"]), int(given["i"]))
                without = f"c=biws,r={given['r']}"
                signed = f"{bare},{rest.decode()},{without}".encode()
                key = hmac.digest(salted, b"Client Key", "sha256")
                signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
                proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
                expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
                self.socket.sendall(message(b"p", f"{without},p={proof}".encode()))
            elif code == 12:
                if base64.b64decode(rest.decode().removeprefix("v=")) != expected:
                    raise Refused("the server does not know the password")
            elif code != 0:
                raise Refused(f"way of authentication {code}")

    def read(self, sql):
        """Returns seconds, rows and bytes of a statement's whole result."""
        ask = (
            message(b"P", b"\0" + sql.encode() + b"\0\0\0")
            + message(b"B", b"\0\0" + struct.pack("!HHHH", 0, 0, 1, 1))
            + message(b"E", b"\0" + struct.pack("!I", 0))
            + message(b"S", b"")
        )
        buffer = bytearray(1 << 18)
        begun = time.perf_counter()
        self.socket.sendall(ask)
        n_bytes, tail = 0, b""
        while True:
            got = self.socket.recv_into(buffer)
            if not got:
                raise Refused("the connection was closed")
            n_bytes += got
            tail = (tail + bytes(buffer[max(0, got - 64):got]))[-64:]
            if found := END.search(tail):
                return time.perf_counter() - begun, int(found.group(1)), n_bytes
            if n_bytes < 1 << 12 and tail[-6:-1] == b"Z\0\0\0\5":
                raise Refused(bytes(buffer[:got]).replace(b"\0", b" ").decode(errors="replace"))

    def close(self):
        self.socket.sendall(message(b"X", b""))
        self.socket.close()
