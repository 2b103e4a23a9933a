"""Bytes from elsewhere: HTTP(S), OCI registries, the Docker and Podman socket."""
