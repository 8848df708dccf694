"""Jobs behave like a simple model without a database, for any order of events; on both databases."""

from dataclasses import dataclass, field

from hypothesis import settings as with_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete

from app.core.errors import Conflict
from app.jobs import claims, lifecycle
from app.jobs.claims import Claim
from app.services import Services
from app.tables import Job
from tests.app.documents import problem
from tests.rounds import rounds

MAX_FAILURES = 3
ERROR = problem("no good")


@dataclass
class Known:
    """The expected state of a job. claims: all claims so far, of which only the last may write."""

    status: str = "accepted"
    failures: int = 0
    dismissal_requested: bool = False
    claims: list[Claim] = field(default_factory=list)


class Life(RuleBasedStateMachine):
    """Clients, workers, workers that lost their claim, and sweeps act in any order. There is no job at the beginning.

    All examples share a database, because creating one takes longer than an example.
    """

    services: Services  # set by the subclass

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        with self.services.database.write() as session:
            session.execute(delete(Job))

    @rule()
    def submit(self) -> None:
        name = f"prd_{len(self.known)}"
        with self.services.database.write() as session:
            lifecycle.create(session, name, "prediction")
        self.known[name] = Known()

    @rule()
    def claim(self) -> None:
        """A worker claims the oldest job that waits, if there is one."""
        with self.services.database.write() as session:
            claim = claims.claim_waiting(session, "prediction")
        waiting = [name for name, known in self.known.items() if known.status == "accepted"]
        assert (claim.job_id if claim else None) == (waiting[0] if waiting else None)
        if claim:
            known = self.known[claim.job_id]
            known.status = "running"
            known.claims.append(claim)
            assert claim.attempt == len(known.claims)

    @precondition(lambda self: any(known.claims for known in self.known.values()))
    @rule(data=st.data(), what=st.sampled_from(["beat", "succeed", "fail", "dismissed", "release"]))
    def write(self, data: st.DataObject, what: str) -> None:
        """A worker writes with a claim that it has or had. Only the newest claim of a running job is valid."""
        every = [claim for known in self.known.values() for claim in known.claims]
        claim = data.draw(st.sampled_from(every))
        known = self.known[claim.job_id]
        ours = known.status == "running" and claim == known.claims[-1]
        try:
            with self.services.database.write() as session:
                if what == "beat":
                    assert claims.beat(session, claim, None, None) == known.dismissal_requested
                elif what == "fail":
                    claims.fail(session, claim, ERROR)
                else:
                    getattr(claims, what)(session, claim)
        except claims.Lost:
            assert not ours
            return
        assert ours
        ends = {"succeed": "successful", "fail": "failed", "dismissed": "dismissed", "release": "accepted"}
        known.status = ends.get(what, known.status)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def dismiss(self, data: st.DataObject) -> None:
        """A client dismisses a job, perhaps not for the first time."""
        name = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[name]
        try:
            with self.services.database.write() as session:
                lifecycle.dismiss(session, name)
        except Conflict:
            assert known.status in ("successful", "failed")
            return
        assert known.status not in ("successful", "failed")
        if known.status == "accepted":
            known.status = "dismissed"
        known.dismissal_requested |= known.status == "running"

    @precondition(lambda self: any(known.status == "running" for known in self.known.values()))
    @rule(data=st.data(), stale=st.booleans())
    def give_back_or_fail(self, data: st.DataObject, stale: bool) -> None:
        """A sweep gives a job back. stale: it has read the job before the last heartbeat of the worker."""
        running = [name for name, known in self.known.items() if known.status == "running"]
        name = data.draw(st.sampled_from(running))
        known, job = self.known[name], self.read(name)
        if stale:
            with self.services.database.write() as session:
                claims.beat(session, known.claims[-1], None, None)
        with self.services.database.write() as session:
            moved_to = lifecycle.give_back_or_fail(session, job, max_failures=MAX_FAILURES)
        if stale:
            assert moved_to is None
            return
        known.failures += 1
        tried = "accepted" if known.failures < MAX_FAILURES else "failed"
        known.status = "dismissed" if known.dismissal_requested else tried
        assert moved_to == known.status

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A client asks for another try of a job, in whatever status."""
        name = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[name]
        try:
            with self.services.database.write() as session:
                lifecycle.retry(session, name)
        except Conflict:
            assert known.status in ("accepted", "running", "successful")
            return
        assert known.status in ("failed", "dismissed")
        known.status, known.failures, known.dismissal_requested = "accepted", 0, False

    @invariant()
    def agrees(self) -> None:
        """Each job in the database has the state that the model expects."""
        for name, known in self.known.items():
            row = self.read(name)
            assert (row.status, row.attempt, row.failures) == (known.status, len(known.claims), known.failures)
            assert (row.finished is not None) == (row.status in lifecycle.FINAL)

    def read(self, name: str) -> Job:
        with self.services.database.read() as session:
            return lifecycle.get(session, name)


def test_jobs_behave_like_the_model_for_any_order_of_events(services: Services) -> None:
    many = with_settings(max_examples=rounds(15), stateful_step_count=30, deadline=None)
    run_state_machine_as_test(type("LifeHere", (Life,), {"services": services}), settings=many)
