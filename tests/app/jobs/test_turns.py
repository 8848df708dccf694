"""Workers take turns between tenants: many jobs of one do not keep the few of another waiting."""

from app.access import tenants
from app.core import tenancy
from app.jobs import lifecycle
from app.jobs.lifecycle import Claim
from app.services import Services


def wait(services: Services, tenant: str, *ids: str) -> None:
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        tenants.ensure(session, tenant)
    for id_ in ids:
        with tenancy.acting_for(tenant), services.database.write() as session:
            lifecycle.create(session, id_, "training")


def take(services: Services) -> Claim | None:
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        return lifecycle.claim_waiting(session, "training")


def test_the_tenant_with_the_fewest_running_jobs_is_next(services: Services) -> None:
    wait(services, "many", *(f"trn_{number}" for number in range(20)))
    wait(services, "few", "trn_0", "trn_1")
    wait(services, "local", "trn_0")
    first = [claim for _ in range(5) if (claim := take(services))]
    assert sorted(claim.tenant for claim in first) == ["few", "few", "local", "many", "many"]
    assert {claim.tenant for claim in first[:3]} == {"few", "local", "many"}
    assert sorted(claim.job_id for claim in first) == ["few/trn_0", "few/trn_1", "many/trn_0", "many/trn_1", "trn_0"]
    rest = [claim for _ in range(18) if (claim := take(services))]
    assert [claim.job_id for claim in rest] == [f"many/trn_{number}" for number in range(2, 20)]
    assert take(services) is None


def test_a_claim_in_the_scope_of_its_tenant_has_plain_ids(services: Services) -> None:
    wait(services, "few", "trn_0")
    claim = take(services)
    assert claim is not None and claim.job_id == "few/trn_0"
    with tenancy.acting_for(claim.tenant):
        own = claim.in_its_scope()
        assert (own.job_id, own.attempt) == ("trn_0", 1)
        with services.database.write() as session:
            lifecycle.succeed(session, own)
    with services.database.read() as session:
        assert lifecycle.find(session, status=None, kind=None, limit=10, token=None).rows == []
