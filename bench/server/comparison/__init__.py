"""The parts of `bench.server.compare`: servers side by side on one core, wrk on the other."""
