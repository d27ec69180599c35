ARG REGISTRY=docker.io
ARG TAG=3.12 VARIANT="-slim"
ARG UNSET
ARG FULL=${REGISTRY}/library/python:${TAG}${VARIANT}
FROM ${REGISTRY}/library/python:${TAG} AS one
ARG TAG=9
FROM $FULL AS two
FROM ${UNSET}
FROM ${UNSET:-alpine:3.20}
FROM alpine:${MISSING-3.19}
FROM registry.example/x:${TAG:+y}
FROM img-${TARGETARCH}
