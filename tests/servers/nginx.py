"""A real nginx as a reverse proxy before another server, in a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .apache import make_certificate
from .child import Child, require_program, running_in_new_folder

_CONFIG = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/error.log warn;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    client_max_body_size 0;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header Host $http_host;
            {destination}
        }}
    }}
}}
"""
_REWRITTEN = """
            set $destination $http_destination;
            if ($http_destination ~ "^{scheme}://(.*)$") {{ set $destination http://$1; }}
            proxy_set_header Destination $destination;
"""


class Nginx:
    """A running proxy.

    Args:
        home: its folder.
        behind: the port of the server that it passes requests on to.
        tls: speak TLS to clients.
        rewrites: take a Destination of this scheme apart, and put it together with ``http``, as
            many do where TLS ends here: it is encoded once more then.

    Attributes:
        ca: the file that makes its certificate trusted; None without TLS.
    """

    def __init__(self, home: Path, behind: int, *, tls: bool = False, rewrites: str = "") -> None:
        self._program = require_program("nginx", install="apt-get install nginx")
        self._home, self._behind, self._rewrites = home, behind, rewrites
        self.ca = home / "cert.pem" if tls else None
        if tls:
            make_certificate(home)
        self._child = Child(self._command, home)

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://localhost:{self.port}/dav"

    @property
    def port(self) -> int:
        return self._child.port

    def start(self) -> None:
        self._child.start()

    def stop(self) -> None:
        self._child.stop()

    def _command(self, port: int) -> list[str]:
        config = self._home / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        tls = (
            f" ssl; ssl_certificate {self._home}/cert.pem; ssl_certificate_key {self._home}/key.pem"
        )
        config.write_text(
            _CONFIG.format(
                home=self._home,
                port=port,
                behind=self._behind,
                user=user,
                tls=tls if self.ca else "",
                destination=_REWRITTEN.format(scheme=self._rewrites) if self._rewrites else "",
            )
        )
        return [self._program, "-c", str(config), "-p", str(self._home)]


@contextmanager
def running(behind: int, *, tls: bool = False, rewrites: str = "") -> Iterator[Nginx]:
    """nginx before the server at the port `behind` of 127.0.0.1."""

    def made(home: Path) -> Nginx:
        return Nginx(home, behind, tls=tls, rewrites=rewrites)

    with running_in_new_folder("nginx", made) as server:
        yield server
