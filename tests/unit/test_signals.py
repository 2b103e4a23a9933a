"""Signals that end a process, as exceptions."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from sysgraft.host.signals import Terminated, terminations_as_exceptions

SIGNALS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_becomes_an_exception_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Terminated) as caught, terminations_as_exceptions():
        assert signal.getsignal(number) != before
        os.kill(os.getpid(), number)
    assert caught.value.number == number
    assert str(caught.value) == number.name
    assert signal.getsignal(number) == before
    assert not isinstance(caught.value, Exception), "code that catches errors must not catch this"


def test_a_second_signal_leaves_the_cleaning_up_alone() -> None:
    cleaned = False
    with pytest.raises(Terminated) as caught, terminations_as_exceptions():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned = True
    assert cleaned
    assert caught.value.number == signal.SIGHUP
    assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL] * 2


@pytest.mark.parametrize("mine", [signal.SIG_IGN, lambda *_: None])
def test_signals_the_caller_sees_to_stay_with_the_caller(
    mine: signal.Handlers | signal._HANDLER,
) -> None:
    before = signal.signal(signal.SIGHUP, mine)
    try:
        with terminations_as_exceptions():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == mine
        assert signal.getsignal(signal.SIGHUP) == mine
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def run() -> None:
        with terminations_as_exceptions():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
