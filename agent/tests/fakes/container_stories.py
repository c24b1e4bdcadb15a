# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers in memory, as the API sees them: `api.container_ports.ContainerStories`.

stories.containers["c1"] = make_entry("c1", tty=True)
stories.pieces = [(1, b"hi")]               what `logs` and `attach` give
"""

from __future__ import annotations

from plugind import errors
from plugind.engine.container import attach
from plugind.engine.container_entry import ContainerEntry
from plugind.model.containers import fields, view
from plugind.model.containers import request as container_request
from plugind.model.containers.container import Container, Process

PLACES = dict.fromkeys(("hosts", "hostname", "resolv.conf", "merged", "log"), "/somewhere")


def make_entry(name="c1", **process):
    """Return a container that was created; keyword arguments are its process's."""
    body = {"Image": "busybox", "HostConfig": {}}
    return ContainerEntry(
        Container(
            id="c0" * 32,
            name=name,
            created_at="2026-01-02T03:04:05.678901234Z",
            image="busybox",
            image_id="sha256:" + "1" * 64,
            process=Process(args=("sh",), **process),
            config=fields.config_of(body),
            host_config=fields.host_config_of(body),
        )
    )


class FakeContainers:
    """The container stories of `FakeStories`."""

    def __init__(self):
        super().__init__()
        self.containers = {}
        self.pieces = []
        self.done = []

    async def create_container(self, engine, body, name):
        request = container_request.parse(body)
        if name:
            container_request.require_name(name)
        if request.image != "busybox":
            raise errors.NotFound(f"No such image: {request.image}:latest")
        self.done.append(("create", name, request))
        return "c0" * 32, request.warnings

    def find_container(self, engine, text):
        if text not in self.containers:
            raise errors.NotFound(f"No such container: {text}")
        return self.containers[text]

    async def inspect_container(self, engine, text):
        entry = self.find_container(engine, text)
        return view.inspect(entry.container, paths=PLACES, places={})

    async def list_containers(self, engine, *, everything, limit=0, filters=None):
        self.done.append(("list", everything, limit, filters))
        return [
            view.summary(entry.container, now=0, places={})
            for entry in self.containers.values()
            if everything or entry.container.state.running
        ]

    async def start_container(self, engine, entry):
        self.done.append(("start", entry.container.name))
        return not entry.container.state.running

    async def stop_container(self, engine, entry, timeout, signal=""):
        self.done.append(("stop", entry.container.name, timeout, signal))
        return entry.container.state.running

    async def kill_container(self, engine, entry, name):
        self.done.append(("kill", entry.container.name, name))

    def wait_container(self, entry, condition):
        return attach.waiting(entry, condition)

    async def attach_container(self, engine, entry, wanted, open_channel):
        self.done.append(("attach", wanted))
        channel = await open_channel()
        tty = entry.container.process.tty
        for number, data in self.pieces:
            await channel.write(attach.frame(number, data, tty=tty))
        while wanted.stdin and (data := await channel.read()):
            await channel.write(attach.frame(1, data.upper(), tty=tty))

    async def container_output(self, engine, entry, wanted):
        self.done.append(("logs", wanted))
        for piece in self.pieces:
            yield piece

    async def remove_container(self, engine, text, *, force, volumes):
        entry = self.find_container(engine, text)
        self.done.append(("remove", entry.container.name, force, volumes))

    async def prune_containers(self, engine, filters):
        self.done.append(("prune", filters))
        return [], 0
