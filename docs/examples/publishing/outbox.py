"""An outbox: a service writes an event in the transaction of its change, and this program publishes it.

``python outbox.py shop.db`` runs until it is stopped, at any moment and in any way.
"""

import json
import sqlite3
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from flowbridge_sdk import EventEncoder, Publisher

TABLE = """
CREATE TABLE IF NOT EXISTS outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id VARCHAR(36) NOT NULL,
    name VARCHAR(249) NOT NULL,
    event_key VARCHAR(1024),
    payload TEXT NOT NULL,
    happened VARCHAR(40) NOT NULL
)
"""
SELECT = "SELECT position, event_id, name, event_key, payload, happened FROM outbox ORDER BY position LIMIT 500"
INSERT = "INSERT INTO outbox (event_id, name, event_key, payload, happened) VALUES (?, ?, ?, ?, ?)"
DELETE = "DELETE FROM outbox WHERE position = ?"

encoder = EventEncoder("shop")


def add_event(database: sqlite3.Connection, name: str, payload: dict[str, Any], key: str | None = None) -> None:
    """Write an event into the open transaction; the service calls this next to its own statements."""
    encoder.encode(name, payload, key=key)  # refuses here what could not be sent later
    row = str(uuid.uuid4()), name, key, json.dumps(payload), datetime.now(UTC).isoformat()
    database.execute(INSERT, row)


def relay(database: sqlite3.Connection, publisher: Publisher) -> int:
    """Publish the oldest events, and delete them once Kafka has acknowledged them; return how many there were."""
    rows = database.execute(SELECT).fetchall()
    for _, event_id, name, key, payload, happened in rows:
        time_ = datetime.fromisoformat(happened)
        publisher.publish(name, json.loads(payload), key=key, id=event_id, time=time_)
    publisher.flush()  # raises unless all of them arrived, and none is deleted then
    database.executemany(DELETE, [(row[0],) for row in rows])
    database.commit()
    return len(rows)


if __name__ == "__main__":
    shop = sqlite3.connect(sys.argv[1], timeout=60)
    with shop:
        shop.execute(TABLE)
    with Publisher(source="shop") as shop_publisher:
        while True:
            if not relay(shop, shop_publisher):
                time.sleep(0.5)
