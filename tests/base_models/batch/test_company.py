"""Who is to be alone in a process is, and everybody gets there."""

import threading
import time

from base_models.batch.company import alone_here, beside_others


def test_nobody_works_beside_who_is_alone():
    inside, seen, met = [], [], threading.Barrier(2, timeout=20)

    def beside(first):
        if first:
            with beside_others():
                inside.append("beside")
                met.wait()  # two are beside each other
                time.sleep(0.05)
                inside.remove("beside")
        with beside_others():
            inside.append("beside")
            time.sleep(0.01)
            inside.remove("beside")

    def alone():
        with alone_here():
            seen.append(list(inside))
            inside.append("alone")
            time.sleep(0.02)
            inside.remove("alone")
            seen.append(list(inside))

    threads = [threading.Thread(target=beside, args=(n < 2,)) for n in range(4)]
    threads += [threading.Thread(target=alone) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert seen == [[]] * 6
