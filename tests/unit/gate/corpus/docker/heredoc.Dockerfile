FROM debian:12
RUN <<EOF
FROM not/this:1
COPY --from=not/this:2 a b
EOF
COPY <<-'one' <<two /etc/
	FROM not/this:3
	one
FROM not/this:4
two
RUN echo "<<EOF" && cat <<< text
FROM debian:11
