"""A throw-away database for the log of Rekor v1: MariaDB, with all its files below one folder."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.support import components
from tests.support.processes import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMEOUT = 120
_DATABASE = "log"

# What Trillian 1.8 expects of a MySQL database. It writes all of these columns and reads most.
_TREE = "TreeId BIGINT NOT NULL"
_TABLES = {
    "Trees": (
        "TreeId BIGINT PRIMARY KEY",
        "TreeState ENUM('ACTIVE', 'FROZEN', 'DRAINING') NOT NULL",
        "TreeType ENUM('LOG', 'MAP', 'PREORDERED_LOG') NOT NULL",
        "HashStrategy ENUM('RFC6962_SHA256') NOT NULL",
        "HashAlgorithm ENUM('SHA256') NOT NULL",
        "SignatureAlgorithm ENUM('ECDSA', 'RSA', 'ED25519') NOT NULL",
        "DisplayName VARCHAR(20)",
        "Description VARCHAR(200)",
        "CreateTimeMillis BIGINT NOT NULL",
        "UpdateTimeMillis BIGINT NOT NULL",
        "MaxRootDurationMillis BIGINT NOT NULL",
        "PrivateKey MEDIUMBLOB NOT NULL",
        "PublicKey MEDIUMBLOB NOT NULL",
        "Deleted BOOLEAN",
        "DeleteTimeMillis BIGINT",
    ),
    "TreeControl": (
        "TreeId BIGINT PRIMARY KEY",
        "SigningEnabled BOOLEAN NOT NULL",
        "SequencingEnabled BOOLEAN NOT NULL",
        "SequenceIntervalSeconds INTEGER NOT NULL",
    ),
    "Subtree": (
        _TREE,
        "SubtreeId VARBINARY(255) NOT NULL",
        "Nodes MEDIUMBLOB NOT NULL",
        "SubtreeRevision INTEGER NOT NULL",
        "PRIMARY KEY (TreeId, SubtreeId, SubtreeRevision)",
    ),
    "TreeHead": (
        _TREE,
        "TreeHeadTimestamp BIGINT",
        "TreeSize BIGINT",
        "RootHash VARBINARY(255) NOT NULL",
        "RootSignature VARBINARY(1024) NOT NULL",
        "TreeRevision BIGINT",
        "PRIMARY KEY (TreeId, TreeHeadTimestamp)",
        "UNIQUE (TreeId, TreeRevision)",
    ),
    "LeafData": (
        _TREE,
        "LeafIdentityHash VARBINARY(255) NOT NULL",
        "LeafValue LONGBLOB NOT NULL",
        "ExtraData LONGBLOB",
        "QueueTimestampNanos BIGINT NOT NULL",
        "PRIMARY KEY (TreeId, LeafIdentityHash)",
    ),
    "SequencedLeafData": (
        _TREE,
        "SequenceNumber BIGINT UNSIGNED NOT NULL",
        "LeafIdentityHash VARBINARY(255) NOT NULL",
        "MerkleLeafHash VARBINARY(255) NOT NULL",
        "IntegrateTimestampNanos BIGINT NOT NULL",
        "PRIMARY KEY (TreeId, SequenceNumber)",
        "INDEX (TreeId, MerkleLeafHash)",
    ),
    "Unsequenced": (
        _TREE,
        "Bucket INTEGER NOT NULL",
        "LeafIdentityHash VARBINARY(255) NOT NULL",
        "MerkleLeafHash VARBINARY(255) NOT NULL",
        "QueueTimestampNanos BIGINT NOT NULL",
        "QueueID VARBINARY(32) UNIQUE",
        "PRIMARY KEY (TreeId, Bucket, QueueTimestampNanos, LeafIdentityHash)",
    ),
}


@contextlib.contextmanager
def running_log_database(folder: Path) -> Iterator[str]:
    """Run a database with Trillian's tables, empty; gives the address that Trillian takes."""
    port = free_port()
    data = folder / f"data-{port}"
    data.mkdir(parents=True)
    command = [
        str(components.locate("mariadb")),
        "--no-defaults",
        f"--datadir={data}",
        "--skip-grant-tables",
        # Nothing has to survive the machine, and little is kept.
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-log-file-size=4M",
        "--innodb-buffer-pool-size=16M",
    ]
    if os.geteuid() == 0:
        command.append("--user=root")
    tables = (f"CREATE TABLE {name} ({', '.join(each)});" for name, each in _TABLES.items())
    script = "\n".join([f"CREATE DATABASE {_DATABASE};", f"USE {_DATABASE};", *tables, ""])
    made = subprocess.run(
        [*command, "--bootstrap"],
        input=script.encode(),
        capture_output=True,
        check=False,
        timeout=_TIMEOUT,
    )
    assert made.returncode == 0, made.stderr.decode(errors="replace")[-2000:]
    command += ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={data}/socket"]
    with running(command, folder / "log.txt", lambda: _greets(port), keeps_nothing=True):
        yield f"root@tcp(127.0.0.1:{port})/{_DATABASE}"


def _greets(port: int) -> bool:
    """Tell whether the server speaks: it listens before it does."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), 2) as connection,
    ):
        connection.settimeout(2)
        return bool(connection.recv(1))
    return False
