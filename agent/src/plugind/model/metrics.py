# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the agent counts, and how Prometheus reads it (text format 0.0.4).

    plugind_build_info{version}             1
    plugind_degraded                        1 while a newer plugind's state is only read
    plugind_plugins{state}                  installed plugins; every state is there, 0 as well
    plugind_plugin_up{plugin}               1 while it runs
    plugind_plugin_restarts_total{plugin}   after crashes, since it was enabled or the agent started
    plugind_volumes{driver}                 volumes on record
    plugind_volume_mounts{driver}           mounts on record, one for each holder
    plugind_host_mounts                     host mounts that are declared
    plugind_front_requests_total{plugin}    requests at its front, since the agent started
    plugind_front_waiting{plugin}           those of them that wait for the plugin now

The names are an interface: they stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plugind.model.lifecycle import PluginState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "plugind_"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCounts:
    """One installed plugin. `front_requests` is None if it has no front."""

    name: str
    state: PluginState
    restarts: int = 0
    front_requests: int | None = None
    front_waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """All that is counted, at one time. `volumes` and `mounts` are by driver."""

    version: str
    degraded: bool = False
    plugins: tuple[PluginCounts, ...] = ()
    volumes: Mapping[str, int] = field(default_factory=dict)
    mounts: Mapping[str, int] = field(default_factory=dict)
    host_mounts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A name with its samples; `kind` is Prometheus's: gauge or counter."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[Labels, int], ...]


def metrics(counts: Counts) -> tuple[Metric, ...]:
    """Return every metric; one without a sample is there as well."""
    states = [plugin.state for plugin in counts.plugins]
    fronts = [p for p in counts.plugins if p.front_requests is not None]
    return (
        _gauge("build_info", "The agent's version.", {_label("version", counts.version): 1}),
        _gauge("degraded", "1 if the state of a newer agent is only read.", {(): counts.degraded}),
        _gauge(
            "plugins",
            "Installed plugins by state.",
            {_label("state", state.value): states.count(state) for state in PluginState},
        ),
        _gauge(
            "plugin_up",
            "1 if the plugin runs.",
            {_label("plugin", p.name): p.state is PluginState.RUNNING for p in counts.plugins},
        ),
        _counter(
            "plugin_restarts_total",
            "Restarts after crashes since the plugin was enabled or the agent started.",
            {_label("plugin", p.name): p.restarts for p in counts.plugins},
        ),
        _gauge("volumes", "Volumes on record.", _by_driver(counts.volumes)),
        _gauge("volume_mounts", "Mounts of volumes on record.", _by_driver(counts.mounts)),
        _gauge("host_mounts", "Declared host mounts.", {(): counts.host_mounts}),
        _counter(
            "front_requests_total",
            "Requests at the plugin's front since the agent started.",
            {_label("plugin", p.name): p.front_requests or 0 for p in fronts},
        ),
        _gauge(
            "front_waiting",
            "Requests at the plugin's front that wait for the plugin.",
            {_label("plugin", p.name): p.front_waiting for p in fronts},
        ),
    )


def render(found: tuple[Metric, ...]) -> str:
    """Return the text that `GET /metrics` answers."""
    return "".join(_render(metric) for metric in found)


def _render(metric: Metric) -> str:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
    for labels, value in metric.samples:
        shown = ",".join(f'{name}="{_escape(text)}"' for name, text in labels)
        lines.append(f"{metric.name}{{{shown}}} {value}" if labels else f"{metric.name} {value}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Return a label's value as it stands between quotes; a surrogate would not be UTF-8."""
    plain = text.encode("utf-8", "replace").decode()
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _label(name: str, text: str) -> Labels:
    return ((name, text),)


def _by_driver(numbers: Mapping[str, int]) -> dict[Labels, int]:
    return {_label("driver", name): number for name, number in numbers.items()}


def _gauge(name: str, text: str, samples: Mapping[Labels, int]) -> Metric:
    return _metric(name, "gauge", text, samples)


def _counter(name: str, text: str, samples: Mapping[Labels, int]) -> Metric:
    return _metric(name, "counter", text, samples)


def _metric(name: str, kind: str, text: str, samples: Mapping[Labels, int]) -> Metric:
    ordered = tuple((labels, int(value)) for labels, value in sorted(samples.items()))
    return Metric(name=PREFIX + name, kind=kind, help=text, samples=ordered)
