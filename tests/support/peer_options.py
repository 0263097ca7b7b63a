"""What can be set in the servers that people come from: kept here so that the tests of docs/ need neither of them.

`python -m tests.support.peer_options` says where the installed gunicorn and uvicorn differ from these lists; then the
lists and the tables in docs/migrating-from-*.md are to be brought up to date.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GUNICORN_VERSION: Final = "27.0.1"
GUNICORN_SETTINGS: Final = _words("""
    access_log_format accesslog asgi_disconnect_grace_period asgi_lifespan asgi_loop backlog bind ca_certs
    capture_output casefold_http_method cert_reqs certfile chdir check_config child_exit ciphers config
    control_socket control_socket_disable control_socket_mode daemon default_proc_name dirty_apps
    dirty_graceful_timeout dirty_post_fork dirty_threads dirty_timeout dirty_worker_exit dirty_worker_init
    dirty_workers disable_redirect_access_to_syslog do_handshake_on_connect dogstatsd_tags enable_backlog_metric
    enable_stdio_inheritance errorlog forwarded_allow_ips forwarder_headers graceful_timeout group header_map
    http2_cleartext http2_initial_window_size http2_max_concurrent_streams http2_max_frame_size
    http2_max_header_list_size http_parser http_protocols initgroups keepalive keyfile limit_request_field_size
    limit_request_fields limit_request_line logconfig logconfig_dict logconfig_json logger_class loglevel
    max_requests max_requests_jitter nworkers_changed on_dirty_starting on_exit on_reload on_starting paste
    permit_obsolete_folding permit_unconventional_http_method permit_unconventional_http_version pidfile
    post_fork post_request post_worker_init pre_exec pre_fork pre_request preload_app print_config proc_name
    protocol proxy_allow_ips proxy_protocol pythonpath raw_env raw_paste_global_conf reload reload_engine
    reload_extra_files reuse_port root_path secure_scheme_headers sendfile spew ssl_context ssl_version
    statsd_host statsd_prefix strip_header_spaces suppress_ragged_eofs syslog syslog_addr syslog_facility
    syslog_prefix threads timeout tmp_upload_dir umask user uwsgi_allow_ips websocket_max_message_size
    when_ready worker_abort worker_class worker_connections worker_exit worker_int worker_tmp_dir workers
    wsgi_app
""")
GUNICORN_FLAGS: Final = _words("""
    --access-logfile --access-logformat --asgi-disconnect-grace-period --asgi-lifespan --asgi-loop --backlog
    --bind --ca-certs --capture-output --casefold-http-method --cert-reqs --certfile --chdir --check-config
    --ciphers --config --control-socket --control-socket-mode --daemon --dirty-app --dirty-graceful-timeout
    --dirty-threads --dirty-timeout --dirty-workers --disable-redirect-access-to-syslog
    --do-handshake-on-connect --dogstatsd-tags --enable-backlog-metric --enable-stdio-inheritance --env
    --error-logfile --forwarded-allow-ips --forwarder-headers --graceful-timeout --group --header-map
    --http-parser --http-protocols --http2-cleartext --http2-initial-window-size --http2-max-concurrent-streams
    --http2-max-frame-size --http2-max-header-list-size --initgroups --keep-alive --keyfile
    --limit-request-field_size --limit-request-fields --limit-request-line --log-config --log-config-json
    --log-file --log-level --log-syslog --log-syslog-facility --log-syslog-prefix --log-syslog-to --logger-class
    --max-requests --max-requests-jitter --name --no-control-socket --no-sendfile --paste --paste-global
    --paster --permit-obsolete-folding --permit-unconventional-http-method --permit-unconventional-http-version
    --pid --preload --print-config --protocol --proxy-allow-from --proxy-protocol --pythonpath --reload
    --reload-engine --reload-extra-file --reuse-port --root-path --spew --ssl-version --statsd-host
    --statsd-prefix --strip-header-spaces --suppress-ragged-eofs --threads --timeout --umask --user
    --uwsgi-allow-from --websocket-max-message-size --worker-class --worker-connections --worker-tmp-dir
    --workers -D -R -b -c -e -g -k -m -n -p -t -u -w
""")

UVICORN_VERSION: Final = "0.54.0"
UVICORN_FLAGS: Final = _words("""
    --access-log --app-dir --backlog --date-header --env-file --factory --fd --forwarded-allow-ips
    --h11-max-incomplete-event-size --header --host --http --http2 --interface --lifespan --limit-concurrency
    --limit-max-requests --limit-max-requests-jitter --log-config --log-level --loop --no-access-log
    --no-date-header --no-proxy-headers --no-server-header --no-use-colors --port --proxy-headers --reload
    --reload-delay --reload-dir --reload-exclude --reload-include --reset-contextvars --root-path
    --server-header --ssl-ca-certs --ssl-cert-reqs --ssl-certfile --ssl-ciphers --ssl-keyfile
    --ssl-keyfile-password --ssl-version --timeout-graceful-shutdown --timeout-keep-alive
    --timeout-worker-healthcheck --uds --use-colors --version --workers --ws --ws-max-queue --ws-max-size
    --ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
""")


def main() -> None:
    """Print what the installed servers have that the lists have not, and the other way round."""
    # Neither is there in the environment that lints this.
    known_settings = importlib.import_module("gunicorn.config").KNOWN_SETTINGS
    uvicorn_command = importlib.import_module("uvicorn.main").main
    found = {
        "gunicorn settings": (GUNICORN_SETTINGS, {setting.name for setting in known_settings}),
        "gunicorn flags": (GUNICORN_FLAGS, {flag for setting in known_settings for flag in setting.cli or ()}),
        "uvicorn flags": (UVICORN_FLAGS, {
            flag for parameter in uvicorn_command.params if parameter.param_type_name == "option"
            for flag in (*parameter.opts, *parameter.secondary_opts)}),
    }
    for server, version in (("gunicorn", GUNICORN_VERSION), ("uvicorn", UVICORN_VERSION)):
        print(f"{server} {importlib.metadata.version(server)}; the lists are of {version}")
    for what, (listed, present) in found.items():
        print(f"{what}: new {sorted(present - listed)}, gone {sorted(listed - present)}")


if __name__ == "__main__":
    main()
