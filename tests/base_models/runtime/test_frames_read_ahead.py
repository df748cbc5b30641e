"""Frames that a reader sends ahead: each that was taken makes room for another one."""

import socket
import threading

import numpy as np
import pytest

from base_models.runtime.isolation.messages import receive_plain, taken_over
from base_models.runtime.isolation.worker import _stream

N_FRAMES = 40  # more than are read ahead


@pytest.mark.slow
def test_a_sign_that_comes_with_an_item_without_a_frame_makes_room_too():
    reader, caller = socket.socketpair()
    taken = threading.Semaphore(0)

    def items(make):
        for number in range(N_FRAMES):
            yield np.full((2, 2, 3), number, np.uint8), number
            assert taken.acquire(timeout=10)  # its sign is on its way
            yield None, -1

    thread = threading.Thread(target=_stream, args=(reader, items, (), 0), daemon=True)
    thread.start()
    caller.settimeout(10)
    found, ring = [], None
    with reader, caller:
        while True:
            message, file = receive_plain(caller)
            if file is not None:
                ring = taken_over(file, message["shape"])
            if "rest" not in message:
                break
            if "slot" in message:
                found.append(int(ring[message["slot"], 0, 0, 0]))
                caller.sendall(b"t")
                taken.release()
        caller.sendall(b"s")
        thread.join(10)
    assert message["end"] is True
    assert found == list(range(N_FRAMES))
