"""Swoole's names for settings, so that a configuration of it can be carried over: what each is called here.

Only names whose meaning is the same are taken (https://wiki.swoole.com, Server configuration); others that are well
known get advice instead of a setting that would do something else. They are understood in files only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from swhttp.errors import BadValue


@dataclass(frozen=True)
class Setting:
    """`option`: the field of Config; `values`: what its numbers mean, if they are a list; `no_value`: why some others
    have no counterpart."""

    option: str
    values: Mapping[int, str | bool] = field(default_factory=lambda: MappingProxyType({}))
    no_value: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))

    def ours(self, what: str, value: object) -> object:
        """The value as the option takes it. `what`: where it stands. Raises BadValue."""
        if not self.values or isinstance(value, str):
            return value
        if isinstance(value, bool) and self.values.keys() == {0, 1}:
            return self.values[int(value)]
        if isinstance(value, int) and not isinstance(value, bool) and value in self.values:
            return self.values[value]
        why = self.no_value.get(value) if isinstance(value, int) else None
        raise BadValue(what, why or f"{value!r} is none of {', '.join(map(str, self.values))}")


SETTINGS: Final[Mapping[str, Setting]] = {
    "worker_num": Setting("workers"),
    "reactor_num": Setting("reactors"),
    "max_wait_time": Setting("graceful_timeout_s"),
    "max_request": Setting("max_requests"),
    "max_request_grace": Setting("max_requests_jitter"),
    "worker_max_concurrency": Setting("worker_concurrency"),
    "dispatch_mode": Setting(
        "dispatch", {1: "round-robin", 2: "fixed", 3: "idle", 4: "ip", 9: "least", 10: "least"},
        {5: "5, by user id, has no counterpart: use 2 (fixed) or 4 (ip)",
         7: "7, workers that accept by themselves, has no counterpart: connections are the master's; use 3 (idle)",
         8: "8, by connections, has no counterpart: use 9 (least), by requests"}),
    "backlog": Setting("backlog"),
    "max_conn": Setting("max_connections"),
    "max_connection": Setting("max_connections"),
    "enable_reuse_port": Setting("reuse_port"),
    "pid_file": Setting("pid"),
    "log_file": Setting("error_log"),
    "log_level": Setting(
        "log_level", {0: "debug", 2: "info", 4: "warning", 5: "error"},
        {1: "1, trace, has no counterpart: use 0 (debug)", 3: "3, notice, has no counterpart: use 2 (info)",
         6: "6, no log at all, has no counterpart: use 'critical'"}),
    "request_slowlog_timeout": Setting("slow_log_s"),
    "request_slowlog_file": Setting("slow_log_file"),
    "package_max_length": Setting("limit_request_body"),
    "upload_tmp_dir": Setting("tmp_dir"),
    "daemonize": Setting("daemon", {0: False, 1: True}),
    "user": Setting("user"),
    "group": Setting("group"),
    "chroot": Setting("chroot"),
    "http_compression": Setting("compress", {0: "off", 1: "auto"}),
    "http_compression_level": Setting("compress_level"),
    "compression_level": Setting("compress_level"),
    "http_gzip_level": Setting("compress_level"),
    "compression_min_length": Setting("compress_min_bytes"),
    "http_compression_min_length": Setting("compress_min_bytes"),
    "open_websocket_protocol": Setting("ws", {0: "none", 1: "auto"}),
    "websocket_compression": Setting("ws_per_message_deflate", {0: False, 1: True}),
    "ssl_cert_file": Setting("ssl_certfile"),
    "ssl_key_file": Setting("ssl_keyfile"),
    "ssl_passphrase": Setting("ssl_keyfile_password"),
    "ssl_client_cert_file": Setting("ssl_ca_certs"),
    "ssl_cafile": Setting("ssl_ca_certs"),
    "ssl_ciphers": Setting("ssl_ciphers"),
    "open_cpu_affinity": Setting("cpu_affinity", {0: "off", 1: "auto"}),
}
"""Swoole's name to what it is here."""

_APPS = "this is the app's business"
_ALWAYS = "it is always so; leave it out"
_NOT_NOW = "not in this version"
_FRAMES = "pings, pongs and the closing handshake are the master's: leave it out"
_FILES = "say static, as in static = ['/assets=public/assets']: what is not there is 404, and never the app's"
ADVICE: Final[Mapping[str, str]] = {
    "task_worker_num": "there are no task workers in this version",
    "max_request_execution_time": "say request-timeout, how long an app may take to begin its answer",
    "max_concurrency": "say worker-concurrency, for each worker, and queue-size",
    "cpu_affinity_ignore": "say cpu-affinity with a list of those that are left, as in '2-7'",
    "heartbeat_idle_time": "say keep-alive for connections between requests",
    "heartbeat_check_interval": "deadlines need no interval; say keep-alive for connections between requests",
    "http_compression_types": "say compress-types, as one text with commas",
    "compression_types": "say compress-types, as one text with commas",
    "open_websocket_ping_frame": _FRAMES, "open_websocket_pong_frame": _FRAMES, "open_websocket_close_frame": _FRAMES,
    "http_parse_post": _APPS, "http_parse_cookie": _APPS, "http_parse_files": _APPS,
    "document_root": _FILES, "enable_static_handler": _FILES, "static_handler_locations": _FILES,
    "http_index_files": "say static-index, with one name",
    "http_autoindex": "directories are never listed: leave it out",
    "open_http_protocol": _ALWAYS, "open_tcp_nodelay": _ALWAYS, "enable_coroutine": _ALWAYS, "reload_async": _ALWAYS,
    "open_http2_protocol": _NOT_NOW, "tcp_fastopen": _NOT_NOW,
    "ssl_protocols": "say ssl-min-version",
    "ssl_verify_peer": "say ssl-cert-reqs: none, optional or required",
    "ssl_verify_depth": "chains are as long as OpenSSL lets them be",
    "ssl_allow_self_signed": "put the certificate into the file of ssl-ca-certs",
    "ssl_sni_certs": "say ssl-sni",
    "ssl_compress": "TLS is never compressed: leave it out",
    "buffer_output_size": "large responses need no buffer; see response-spool-max",
    "socket_buffer_size": "large responses need no buffer; see response-spool-max",
    "upload_max_filesize": "say limit-request-body",
}
"""Well-known names of Swoole that are no options here: what to do instead."""
