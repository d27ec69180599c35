FROM \
  # a comment between
  --platform=linux/amd64 \

  alpine:3.20 \
  AS base
RUN echo one \
    FROM not/this:1
RUN echo 'FROM not/this:2' && \
# FROM not/this:3
    true
COPY \
  --from=registry.example/tools:1 \
  /a /b
