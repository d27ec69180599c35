#check=skip=all
# Syntax = docker.io/docker/dockerfile:1@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
ARG X='$HOME'
FROM "alpine:3.20"
FROM x:$X
