import threading
import time

import pytest

from ensemble.serving.jobs import JobStore


@pytest.fixture
def jobs(tmp_path):
    store = JobStore(tmp_path / "jobs.sqlite")
    yield store
    store.close()


def test_the_oldest_waits_shortest(jobs):
    first, second = jobs.add("a", "1"), jobs.add("b", "2")
    jobs.ask(first.id, "evidence")
    claimed = [jobs.claim() for _ in range(4)]
    order = [(job.id, kind) for job, kind in claimed[:3]]
    assert order == [
        (first.id, "scan"),
        (second.id, "scan"),
        (first.id, "evidence"),
    ]
    assert claimed[3] is None


def test_each_job_is_claimed_once_by_many_threads(jobs):
    added = {jobs.add(str(number), str(number)).id for number in range(40)}
    claimed = []

    def claim():
        while (found := jobs.claim()) is not None:
            claimed.append(found[0].id)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(added)


def test_the_queue_holds_so_many(jobs):
    added = [jobs.add("a", str(number), most=2) for number in range(3)]
    assert [job is None for job in added] == [False, False, True]
    jobs.claim()
    assert jobs.add("a", "3", most=2) is None  # one that runs counts
    jobs.finish(added[0].id)
    assert jobs.add("a", "3", most=2) is not None


def test_what_ran_when_the_server_ended_waits_again_but_once(tmp_path):
    for reason in ("", "the server ended twice"):
        jobs = JobStore(tmp_path / "jobs.sqlite")
        jobs.recover()
        (job,) = jobs.of_session("") or [jobs.add("a.mp4", "1")]
        if not reason:
            jobs.claim()
            jobs.close()  # as if killed
            jobs = JobStore(tmp_path / "jobs.sqlite")
            jobs.recover()
            assert jobs.get(job.id).status == "queued"
            assert jobs.claim()[0].id == job.id
        else:
            assert jobs.get(job.id).status == "failed"
            assert reason in jobs.get(job.id).reason
            assert jobs.claim() is None
        jobs.close()


def test_an_end_in_order_does_not_count(tmp_path):
    for _ in range(5):
        jobs = JobStore(tmp_path / "jobs.sqlite")
        jobs.recover()
        (job,) = jobs.of_session("") or [jobs.add("a.mp4", "1")]
        jobs.claim()
        jobs.release(job.id)
        assert jobs.get(job.id).status == "queued"
        jobs.close()


def test_what_ended_expires_and_what_waits_does_not(jobs):
    done, waits = jobs.add("a", "1", n_bytes=5), jobs.add("b", "2", n_bytes=7)
    jobs.claim()
    jobs.finish(done.id, n_bytes=50)
    now = time.time()
    assert jobs.expired(now, 60) == []
    assert [job.id for job in jobs.expired(now + 61, 60)] == [done.id]
    assert jobs.n_bytes() == 57
    jobs.delete(done.id)
    assert (jobs.n_bytes(), jobs.folders()) == (7, {"2"})
    assert jobs.task(done.id, "scan") is None
    assert jobs.get(waits.id).status == "queued"


def test_what_is_still_to_be_fetched_is_not_scanned(jobs):
    job = jobs.add("a", "1", address="https://example.org/a.mp4")
    assert jobs.claim() is None
    assert [found.address for found in jobs.to_fetch()] == ["https://example.org/a.mp4"]
    jobs.fetched(job.id, "a.mp4", "video", 99)
    claimed, _ = jobs.claim()
    assert (claimed.id, claimed.name, claimed.address) == (job.id, "a.mp4", None)


def test_sessions_do_not_see_each_other(jobs):
    jobs.add("a", "1", session="one")
    jobs.add("b", "2", session="two")
    assert [job.name for job in jobs.of_session("one")] == ["a"]
    assert jobs.of_session("") == []


def test_progress_goes_forward(jobs):
    job = jobs.add("a", "1")
    jobs.claim()
    for share in (0.5, 0.3):
        jobs.progress(job.id, share, "scoring")
    assert (jobs.get(job.id).progress, jobs.get(job.id).doing) == (0.5, "scoring")


def test_names_stay_what_they_are(jobs):
    name = "'); drop table jobs; -- <script>"
    assert jobs.get(jobs.add(name, "1").id).name == name


@pytest.mark.parametrize("end", ["fetched", "fail", "delete"])
def test_an_address_stands_in_no_file_once_it_is_not_needed(tmp_path, end):
    jobs = JobStore(tmp_path / "jobs.sqlite")
    address = "https://example.org/a.mp4?sig=SECRET"
    job = jobs.add("a.mp4", "folder", 0, "video", "", address)

    def is_there():
        return any(b"SECRET" in path.read_bytes() for path in tmp_path.iterdir())

    assert is_there()  # a server that is started again fetches it
    if end == "fetched":
        jobs.fetched(job.id, "a.mp4", "video", 7)
    elif end == "fail":
        jobs.fail(job.id, "it has a user or a password")
        assert jobs.get(job.id).address is None
    else:
        jobs.delete(job.id)
    assert not is_there()
    jobs.close()
