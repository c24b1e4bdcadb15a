# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind import errors
from plugind.api import archives
from plugind.store.decompress import CorruptStream
from plugind.store.tarentry import MalformedArchive


@pytest.mark.parametrize("kind", [errors.HostileArchive, CorruptStream, MalformedArchive])
def test_what_is_wrong_with_an_archive_is_the_clients_mistake(kind):
    with pytest.raises(errors.InvalidParameter, match=r"^it is truncated$"):
        with archives.sent_by_client():
            raise kind("it is truncated")


def test_what_the_agent_could_not_do_is_not():
    with pytest.raises(errors.System, match="disk full"), archives.sent_by_client():
        raise errors.System("disk full")
