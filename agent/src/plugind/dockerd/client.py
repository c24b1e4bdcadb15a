# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The docker SDK's client: opened late, its errors mapped into our tree, in this one place.

The SDK is an optional dependency. Nothing imports it before a Docker Engine is asked for, and its
absence is an error that says what to install.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from plugind import errors
from plugind.model.credentials import Credentials
from plugind.model.reference import Reference

#: A registry may be slow and a volume driver slower; the engine's own deadlines come first.
READ_SECONDS = 600
_BY_STATUS: dict[int, type[errors.PlugindError]] = {
    400: errors.InvalidParameter,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    501: errors.Unsupported,
    503: errors.Unavailable,
}


def open_client(url: str) -> Any:
    """Return an `APIClient` that speaks the highest API version of both sides."""
    try:
        import docker
    except ImportError as exc:
        raise errors.System(
            f"cannot use {url}: the docker SDK for Python is missing; "
            "install it with: pip install plugind[docker]"
        ) from exc
    require_listener(url)
    with mapped(f"connect to {url}"):
        return docker.APIClient(base_url=url, version="auto", timeout=READ_SECONDS)


def require_listener(url: str) -> None:
    """Raise Unavailable unless somebody listens on a unix socket.

    The SDK says that too, in three nested exceptions' words, and leaves a socket open.
    """
    path = url.removeprefix("unix://")
    if path == url:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError as exc:
            raise errors.Unavailable(f"cannot connect to {url}: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Turn what the SDK raises into our errors: "cannot <doing>: <the engine's words>"."""
    import requests
    import urllib3
    from docker import errors as docker_errors

    try:
        yield
    except docker_errors.APIError as exc:
        category = _BY_STATUS.get(exc.status_code or 500, errors.System)
        cause = exc.explanation or str(exc)
        raise category(f"cannot {doing}: {cause}") from exc
    except urllib3.exceptions.ProtocolError as exc:
        # The SDK reads streams past `requests`, so this comes as it is.
        raise errors.Unavailable(
            f"cannot {doing}: the engine broke the connection off, its log may say why"
        ) from exc
    except (
        docker_errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
    ) as exc:
        raise errors.Unavailable(f"cannot {doing}: {exc}") from exc


def require_object(document: Any, doing: str) -> Mapping[str, Any]:
    """Return an answer that has to be a JSON object; System if it is none."""
    if not isinstance(document, dict):
        raise errors.System(
            f"cannot {doing}: the engine answered {str(document)[:100]!r}, not a JSON object"
        )
    return document


@contextlib.contextmanager
def authenticated(client: Any, ref: Reference, credentials: Credentials | None) -> Iterator[None]:
    """Let the client send `credentials` as X-Registry-Auth while it talks about `ref`.

    Without credentials the SDK does what the docker CLI does: it looks into the configuration of
    whoever runs this.
    """
    if credentials is None:
        yield
        return
    from docker import auth

    registry, _ = auth.resolve_repository_name(str(ref))
    entry = {
        "username": credentials.username,
        "password": credentials.password,
        "identitytoken": credentials.identity_token,
        "registrytoken": credentials.registry_token,
        "serveraddress": credentials.server_address or ref.domain,
    }
    kept = client._auth_configs  # noqa: SLF001 - the SDK takes credentials from nowhere else
    client._auth_configs = auth.AuthConfig({})  # noqa: SLF001
    client._auth_configs.add_auth(auth.resolve_index_name(registry), entry)  # noqa: SLF001
    try:
        yield
    finally:
        client._auth_configs = kept  # noqa: SLF001


def consume(stream: Any, progress: Any, doing: str) -> None:
    """Read a progress stream to its end; an error line in it is the operation's error."""
    with mapped(doing):
        for line in stream:
            if not isinstance(line, dict):
                continue
            detail = line.get("errorDetail")
            if isinstance(detail, dict):
                detail = detail.get("message")
            error = line.get("error") or detail
            if error:
                raise errors.System(f"cannot {doing}: {error}")
            progress(line)
