"""The servers that the other tests use."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from tests import servers


def test_every_test_gets_an_empty_database(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_once (id INTEGER PRIMARY KEY)"))
    engine.dispose()


def test_every_test_gets_an_empty_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")
    servers.empty_redis(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_postgresql_and_redis_start_from_their_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with servers.postgres() as admin, servers.database(admin) as url:
        assert make_url(url).database != admin.database
    with servers.redis_server() as broker:
        servers.empty_redis(broker)


def test_a_server_ends_when_its_parent_is_killed() -> None:
    script = (
        "from tests import servers\nwith servers.postgres() as url:\n print(url.query['host'], flush=True)\n input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().decode().strip())
        server = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        # The file has the id in the process namespace of the server, which is also that of this process.
        os.kill(server, 0)
        parent.send_signal(signal.SIGKILL)
    for _ in range(500):
        if not Path(f"/proc/{server}").exists():
            break
        time.sleep(0.02)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host=str(folder), user="postgres", dbname="postgres")
    shutil.rmtree(folder)  # it may be in memory
