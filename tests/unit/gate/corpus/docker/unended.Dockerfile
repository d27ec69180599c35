FROM alpine:3.20
RUN <<EOF
FROM not/this:1
