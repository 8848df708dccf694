"""Workers take turns between tenants: many jobs of one do not keep the few of another waiting."""

import pytest
from sqlalchemy import text

from app.access import tenants
from app.core import tenancy
from app.jobs import claims, lifecycle
from app.jobs.claims import Claim
from app.services import Services


def wait(services: Services, tenant: str, *ids: str) -> None:
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        tenants.ensure(session, tenant)
    for id_ in ids:
        with tenancy.acting_for(tenant), services.database.write() as session:
            lifecycle.create(session, id_, "training")


def take(services: Services) -> Claim | None:
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        return claims.claim_waiting(session, "training")


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
            claims.succeed(session, own)
    with services.database.read() as session:
        assert lifecycle.find(session, status=None, kind=None, limit=10, token=None).rows == []


def test_a_worker_that_is_alone_serves_all_tenants(services: Services) -> None:
    """It finds no running job of anybody. Chance lets the tenant with many jobs go first 40 times once in 10^9 runs."""
    wait(services, "many", *(f"trn_{number:02}" for number in range(40)))
    wait(services, "the-few", *(f"trn_{number}" for number in range(3)))
    served = []
    while claim := take(services):
        served.append(claim.job_id)
        with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
            claims.succeed(session, claim)
    assert len(served) == 43
    assert served[-1].startswith("many/")


def test_a_claim_passes_over_a_job_that_another_worker_is_claiming(services: Services) -> None:
    if services.database.engine.dialect.name == "sqlite":
        pytest.skip("there one worker writes at a time")
    wait(services, "local", "trn_0", "trn_1")
    with tenancy.acting_for(tenancy.ALL), services.database.write() as other:
        assert claims.claim_waiting(other, "training") == Claim("trn_0", "training", 1)
        with services.database.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert claims.claim_waiting(session, "training") == Claim("trn_1", "training", 1)
