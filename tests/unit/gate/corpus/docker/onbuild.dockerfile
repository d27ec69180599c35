FROM ruby:3.3
ONBUILD COPY --from=registry.example/gems:1 /gems /gems
ONBUILD RUN --mount=type=bind,from=registry.example/cache:1 true
