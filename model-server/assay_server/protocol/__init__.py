"""Open Inference Protocol v2: request bytes to rows, scores to answer bytes. Knows no transport.

`Parser.parse` and `Formatter.format` are the two halves around the model, so that requests that
arrive together can be scored together.
"""

from assay_server.protocol.answers import Answer, Formatter, Output, Scored
from assay_server.protocol.errors import ProtocolError, error_body
from assay_server.protocol.requests import Parser, Query, gathered
from assay_server.protocol.signature import CONTRIBUTIONS, OUTPUTS, Selection, Signature
from assay_server.protocol.tensors import MAX_ROWS

__all__ = [
    "CONTRIBUTIONS",
    "MAX_ROWS",
    "OUTPUTS",
    "Answer",
    "Formatter",
    "Output",
    "Parser",
    "ProtocolError",
    "Query",
    "Scored",
    "Selection",
    "Signature",
    "error_body",
    "gathered",
]
