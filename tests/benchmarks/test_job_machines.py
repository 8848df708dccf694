"""The checker of the comparison of job machines finds each way in which a job can go wrong."""

from benchmarks.job_machines.__main__ import Verdict, judge


def line(job: str, what: str, process: int, at: float) -> dict[str, object]:
    return {"job": job, "what": what, "process": process, "at": at}


WHOLE = [line("a", "begun", 1, 0.0), line("a", "done", 1, 0.5)]


def test_a_job_that_was_done_once_is_whole() -> None:
    assert judge(["a"], WHOLE, {"a": 1}, {}, [0.6]) == Verdict(0, 0, 0, 0, 0, [])


def test_a_job_without_a_result_is_stuck_if_the_machine_says_that_it_waits_and_else_lost() -> None:
    assert judge(["a", "b"], WHOLE, {"a": 1}, {"b": "waiting"}, []).stuck == 1
    assert judge(["a", "b"], WHOLE, {"a": 1}, {"b": ""}, []).lost == 1
    assert judge(["a", "b"], WHOLE, {"a": 1}, {"b": "failed"}, []).lost == 1


def test_a_job_may_be_done_twice_with_one_result_or_two() -> None:
    again = [*WHOLE, line("a", "begun", 2, 1.0), line("a", "done", 2, 1.5)]
    assert judge(["a"], again, {"a": 1}, {}, []) == Verdict(0, 0, 0, 1, 0, [])
    assert judge(["a"], again, {"a": 2}, {}, []) == Verdict(0, 0, 1, 1, 0, [])


def test_two_processes_may_work_at_a_job_side_by_side() -> None:
    zombie = [line("a", "begun", 1, 0.0), line("a", "begun", 2, 4.0), line("a", "done", 2, 4.5)]
    assert judge(["a"], zombie, {"a": 1}, {}, []).beside == 0, "the first one never went on"
    assert judge(["a"], [*zombie, line("a", "done", 1, 9.0)], {"a": 1}, {}, []).beside == 1


def test_a_run_that_a_strike_cut_short_is_recovered_when_the_next_one_begins() -> None:
    cut = [line("a", "begun", 1, 0.0), line("a", "begun", 2, 4.0), line("a", "done", 2, 4.5)]
    assert judge(["a"], cut, {"a": 1}, {}, [0.25]).recovery_s == [3.75]
    assert judge(["a"], cut, {"a": 1}, {}, [9.0]).recovery_s == []
