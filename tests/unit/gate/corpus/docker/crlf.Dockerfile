FROM alpine:3.20 AS a
RUN true \
  && false
FROM alpine:3.19
