"""Writers that are killed, by the hundred with `make torture`, and files that earlier releases left."""
