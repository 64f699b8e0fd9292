"""What is compared: chainlog-async, its peers and the plain alternatives, behind the same few methods."""
