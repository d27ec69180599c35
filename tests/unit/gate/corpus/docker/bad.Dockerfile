FROM alpine:3.20
%%% what is this
