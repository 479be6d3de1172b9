"""The tables and statements of the ledger's PostgreSQL store."""

# ruff: noqa: S608 - the names in statements are our own

from assay_server.ledger.predictions import Row

# `user` is a word of the language.
_COLUMNS = ", ".join(f'"{name}"' for name in Row._fields)
# How each column is read from its place in a JSON array.
_READ = {
    "served_at": "({0})::bigint",
    "receipt": "decode({0}, 'hex')",
    "cell": "({0})::integer",
    "bins": "decode({0}, 'hex')",
    "user": "decode({0}, 'hex')",
    "request": "{0}",
    "request_row": "({0})::integer",
    "state": "({0})::smallint",
    "lag": "({0})::integer",
    "probability": "({0})::double precision",
    "later": "({0})::integer",
    "later_lag": "({0})::integer",
}


def tables(schema: str) -> list[str]:
    """Return the statements that make the tables where they are missing.

    `schema` is the schema's name, quoted. Rows are written, then marked as counted: a page with
    room to spare takes the second version next to the first.
    """
    return [
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"CREATE TABLE IF NOT EXISTS {schema}.meta (name text PRIMARY KEY, value text NOT NULL)",
        f"""
        CREATE TABLE IF NOT EXISTS {schema}.results (name text PRIMARY KEY, total bigint NOT NULL)
        """,
        f"""
        CREATE TABLE IF NOT EXISTS {schema}.cells (
          id integer PRIMARY KEY, revision text NOT NULL, rollout text NOT NULL,
          step integer NOT NULL, predicted text, label text, classes text, positive text)
        """,
        f"""
        CREATE TABLE IF NOT EXISTS {schema}.totals (
          cell integer, kind smallint, place integer, total bigint NOT NULL,
          weighted bigint NOT NULL, weights numeric NOT NULL, squares numeric NOT NULL,
          served_at bigint NOT NULL, PRIMARY KEY (cell, kind, place))
        """,
        f"""
        CREATE TABLE IF NOT EXISTS {schema}.predictions (
          served_at bigint, receipt bytea, cell integer NOT NULL, bins bytea, "user" bytea,
          request text, request_row integer, state smallint NOT NULL, lag integer,
          probability double precision, later integer, later_lag integer,
          PRIMARY KEY (served_at, receipt)) WITH (fillfactor = 80)
        """,
        f"""
        CREATE INDEX IF NOT EXISTS requests ON {schema}.predictions (request, request_row)
          WHERE request IS NOT NULL
        """,
        f"""
        CREATE TABLE IF NOT EXISTS {schema}.users (
          cell integer, tag bytea, PRIMARY KEY (cell, tag))
        """,
    ]


def statements(schema: str) -> dict[str, str]:
    """Return the statements by name; each takes its rows as one JSON text."""
    rows = ", ".join(_READ[name].format(f"r->>{place}") for place, name in enumerate(Row._fields))
    replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in Row._fields[2:])
    found = ", ".join(f'p."{name}"' for name in Row._fields)
    return {
        "totals": f"""
            SELECT * FROM {schema}.totals WHERE cell IN (
              SELECT r::text::integer FROM json_array_elements(:cells::json) AS r)
        """,
        "find": f"""
            SELECT {found} FROM json_array_elements(:keys::json) AS k JOIN {schema}.predictions AS p
            ON p.served_at = (k->>0)::bigint AND p.receipt = decode(k->>1, 'hex')
        """,
        "newest": f"""
            SELECT k->>0, (k->>1)::integer, p.served_at, p.receipt
            FROM json_array_elements(:names::json) AS k CROSS JOIN LATERAL (
              SELECT served_at, receipt FROM {schema}.predictions
              WHERE request = k->>0 AND request_row = (k->>1)::integer
              ORDER BY served_at DESC, receipt DESC LIMIT 1) AS p
        """,
        "of_request": f"SELECT {_COLUMNS} FROM {schema}.predictions WHERE request = :request",
        "between": f"""
            SELECT {_COLUMNS} FROM {schema}.predictions
            WHERE (served_at, receipt) > (:served_at::bigint, :receipt::bytea)
              AND served_at <= :until::bigint
            ORDER BY served_at, receipt LIMIT :count::bigint
        """,
        "count_after": f"""
            SELECT count(*) FROM {schema}.predictions
            WHERE (served_at, receipt) > (:served_at::bigint, :receipt::bytea)
        """,
        "oldest": f"""
            SELECT served_at, receipt FROM (
              SELECT served_at, receipt FROM {schema}.predictions
              WHERE served_at < :before::bigint
              ORDER BY served_at, receipt LIMIT :count::bigint) AS batch
            ORDER BY served_at DESC, receipt DESC LIMIT 1
        """,
        "delete": f"""
            DELETE FROM {schema}.predictions
            WHERE (served_at, receipt) <= (:served_at::bigint, :receipt::bytea)
        """,
        "add_users": f"""
            INSERT INTO {schema}.users SELECT (r->>0)::integer, decode(r->>1, 'hex')
            FROM json_array_elements(:users::json) AS r
            ON CONFLICT DO NOTHING RETURNING cell, tag
        """,
        "forget_users": f"""
            DELETE FROM {schema}.users WHERE cell IN (
              SELECT r::text::integer FROM json_array_elements(:cells::json) AS r)
        """,
        "add_cells": f"""
            INSERT INTO {schema}.cells SELECT (r->>0)::integer, r->>1, r->>2, (r->>3)::integer,
              r->>4, r->>5, r->>6, r->>7 FROM json_array_elements(:cells::json) AS r
        """,
        "save_rows": f"""
            INSERT INTO {schema}.predictions ({_COLUMNS}) SELECT {rows}
            FROM json_array_elements(:rows::json) AS r
            ON CONFLICT (served_at, receipt) DO UPDATE SET {replaced}
        """,
        "add_totals": f"""
            INSERT INTO {schema}.totals AS t SELECT (r->>0)::integer, (r->>1)::smallint,
              (r->>2)::integer, (r->>3)::bigint, (r->>4)::bigint, (r->>5)::numeric,
              (r->>6)::numeric, (r->>7)::bigint FROM json_array_elements(:totals::json) AS r
            ON CONFLICT (cell, kind, place) DO UPDATE SET total = t.total + excluded.total,
              weighted = t.weighted + excluded.weighted, weights = t.weights + excluded.weights,
              squares = t.squares + excluded.squares,
              served_at = greatest(t.served_at, excluded.served_at)
        """,
        "add_results": f"""
            INSERT INTO {schema}.results AS t SELECT r->>0, (r->>1)::bigint
            FROM json_array_elements(:results::json) AS r
            ON CONFLICT (name) DO UPDATE SET total = t.total + excluded.total
        """,
        "set_marks": f"""
            INSERT INTO {schema}.meta SELECT r->>0, r->>1
            FROM json_array_elements(:marks::json) AS r
            ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """,
    }
