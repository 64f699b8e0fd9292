"""What chainlog-async costs and how it holds up, beside what else could be done; `make bench` runs it."""
