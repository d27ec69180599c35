FROM alpine:3.20
# syntax=not/this:1
