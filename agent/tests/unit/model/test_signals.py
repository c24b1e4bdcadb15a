# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import signal

import pytest

from plugind import errors
from plugind.model import signals


@pytest.mark.parametrize("number", [one for one in signal.Signals if one < 32])
def test_names_are_the_kernels(number: signal.Signals) -> None:
    assert signals.parse(number.name) == signals.parse(number.name[3:].lower()) == number
    assert signals.parse(str(int(number))) == number


def test_real_time_signals() -> None:
    assert signals.parse("SIGRTMIN+3") == 37
    assert signals.parse("rtmax-1") == 63
    assert signals.parse("RTMIN") == 34


@pytest.mark.parametrize("text", ["", "0", "33", "65", "NOPE", "RTMIN+99", "RTMIN-1", "1e1", "-9"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="invalid signal"):
        signals.parse(text)
