"""Runs a real nginx with a site's configuration, and proves at its end that it had nothing to complain about.

Owns the process, its scratch directory and the port, which is bound here and inherited by nginx (as it inherits from
itself in an upgrade), so nobody can take it in between and nobody has to wait until it listens. Never looks at what
passes through.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.support.logtail import LogTail

STOP_TIMEOUT_S = 10.0
NGINX_CONF = Path(__file__).resolve().parents[2] / "examples" / "deploy" / "nginx.conf"
"""The site that we ship."""
COMPLAINT = re.compile(r"\[(warn|error|crit|alert|emerg)\]")
# A body or answer that goes through a file is what the configuration asks for.
BUFFERED = re.compile(r"is buffered to a temporary file")

# What a distribution's nginx.conf has around a site. Root's nginx would give its workers another user, who cannot
# enter the scratch directory.
AROUND = """
{user}
worker_processes 1;
daemon off;
error_log stderr warn;
pid {directory}/pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


class Nginx:
    """nginx on a free port of 127.0.0.1.

    site: a configuration file for the http context, of which only places are replaced: `replaced` is what stands in
    the file to what shall stand there; `listen 80` becomes the free port. What is to be replaced must be there.
    """

    def __init__(self, site: Path, replaced: dict[str, str]) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = listener.getsockname()
        self.directory = tempfile.mkdtemp(prefix="ngx-")
        try:
            text = site.read_text()
            for old, new in {**replaced, "listen 80;": f"listen 127.0.0.1:{self.address[1]};"}.items():
                assert old in text, f"{site.name} does not have {old!r}"
                text = text.replace(old, new)
            Path(self.directory, "site.conf").write_text(text)
            configuration = Path(self.directory, "nginx.conf")
            user = "user root;" if os.geteuid() == 0 else ""
            configuration.write_text(AROUND.format(directory=self.directory, user=user))
            self._process = subprocess.Popen(
                ["nginx", "-e", "stderr", "-p", self.directory, "-c", str(configuration)],
                env={"PATH": os.environ["PATH"] + ":/usr/sbin", "NGINX": f"{listener.fileno()};"},
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        finally:
            listener.close()  # nginx has its own: with it gone a client is refused, and does not wait
        assert self._process.stderr is not None
        self.log = LogTail(self._process.stderr)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.address[1]}"

    def stop(self) -> None:
        """End it when its connections have ended; AssertionError if it complained of anything."""
        try:
            self._process.send_signal(signal.SIGQUIT)
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"nginx did not end:\n{self.log.text()}") from None
        finally:
            shutil.rmtree(self.directory)
        assert self.log.join(STOP_TIMEOUT_S), "somebody still holds nginx's stderr"
        complaints = [line for line in self.log.lines if COMPLAINT.search(line) and not BUFFERED.search(line)]
        assert status == 0, f"exit status {status}:\n{self.log.text()}"
        assert not complaints, "nginx complained:\n" + "\n".join(complaints)
