"""SIGINT and SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from reconciler.cli.signals import stop_on_signal
from tests.fixtures.patience import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop(number: signal.Signals) -> None:
    """The first signal sets the event and ends nothing; afterwards the former handlers are back."""
    before = signal.getsignal(number)
    stop = threading.Event()
    with stop_on_signal(stop, "stopping"):
        os.kill(os.getpid(), number)
        assert stop.wait(PATIENCE)
    assert signal.getsignal(number) is before


def test_a_second_signal_stops_at_once() -> None:
    """The second signal ends the process with the shell's code for it, without another word."""
    program = (
        "import os, signal, threading\n"
        "from reconciler.cli.signals import stop_on_signal\n"
        "with stop_on_signal(threading.Event(), 'stopping'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert done.stdout == ""
    assert done.stderr == "\nstopping\n"
