"""The Open Inference Protocol v2 over gRPC, through the same core as over HTTP.

Nothing outside imports this package but to serve gRPC: grpc and protobuf cost some 15 MB.
"""
