module imgverify.invalid/peers/trillian-log-signer

go 1.25.0

require github.com/google/trillian v1.8.0
