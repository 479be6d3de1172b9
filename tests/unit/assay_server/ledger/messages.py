"""What tests send to a ledger."""

import asyncio

FEEDBACK = "/v2/models/fraud/feedback"
SERVED = "/v2/models/fraud/served"
WEST = "http://west.example/v2/models/fraud/feedback"


def body(*entries) -> dict:
    return {"labels": [{"receipt": receipt, "label": label} for receipt, label in entries]}


async def call(port, method, path, content=b""):
    """Send one request from within the event loop of the ledger; return status and body."""
    reader, stream = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(content)}\r\n"
    stream.write(head.encode() + b"\r\n" + content)
    answer, _, found = (await reader.read()).partition(b"\r\n\r\n")
    stream.close()
    return int(answer.split()[1]), found.decode()
