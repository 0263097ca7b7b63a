"""A worker process, from the fork to its exit status: get the app, choose the loop, serve, leave.

It owns the order of these steps. The manager calls `run` in the child, after hygiene, or a zygote does. Exit statuses:
0 drained, ExitCode.APP the app could not be loaded or started, ExitCode.APP_MISSING it is not there, ExitCode.CONFIG
the logging configuration could not be applied (all are logged); everything else is a crash.
"""

from __future__ import annotations

import gc
import os

from swhttp import daemon, hygiene, logs
from swhttp.adapters.compression import Compression
from swhttp.adapters.lifespan import LifespanFailed
from swhttp.errors import ExitCode
from swhttp.hookmodule import HookModule
from swhttp.hooks import Worker
from swhttp.messages import Channel
from swhttp.worker import application, boot, stacks
from swhttp.worker.context import WorkerContext
from swhttp.worker.hookcalls import HookCalls


def run(context: WorkerContext) -> int:
    """Be the worker that `context` describes. Returns its exit status."""
    hygiene.do_nothing_at(hygiene.GROUP_SIGNALS)  # before the import: the app's own handlers count more
    manager = Channel(context.channel)
    if context.stacks_fds:
        stacks.register(context.stacks_fds[context.slot])
    try:
        loaded = boot.load(context, manager)
    except boot.Unfit as why:
        return why.exit_code
    try:
        module = HookModule.load(context.hooks, context.app_dir or "") if context.hooks else None
    except BaseException as error:
        return boot.failed(error, context, manager).exit_code
    try:
        compression = Compression(context.compressing) if context.compressing is not None else None
    except Exception as error:  # a library that is there, and cannot be imported
        broken = application.BootFailure(f"--compress: a library cannot be used: {error}")
        return boot.failed(broken, context, manager).exit_code
    hooks = HookCalls(
        module, Worker(context.slot, context.generation, os.getpid(), loaded.interface, loaded.app))

    def ready() -> None:
        # What is there now stays: the collector need not look at it again, and forked pages stay shared.
        gc.collect()
        gc.freeze()
        logs.booted()
        daemon.booted()
        if context.first_word is not None:
            context.first_word.close()
        manager.send("ready", interface=loaded.interface)

    def stopping() -> None:
        manager.send("stopping")

    try:
        if loaded.interface == "asgi":
            from swhttp.worker import asgi_loop

            asgi_loop.serve(context, loaded, ready, stopping, hooks, compression)
        else:
            from swhttp.worker import wsgi_loop

            wsgi_loop.serve(context, loaded, ready, stopping, hooks, compression)
    except LifespanFailed as error:
        return boot.failed(error.__cause__ or application.BootFailure(str(error)), context, manager).exit_code
    return ExitCode.OK
