"""Every bound on remote input, in one place.

Sizes are bytes, times are seconds.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# Documents. Registries themselves refuse manifests over 4 MiB, and other clients configs.
MANIFEST_SIZE: Final = 4 * MIB
CONFIG_SIZE: Final = 4 * MIB
# Of one image: all manifests that an index lists, and all configs; they are kept in memory.
MANIFESTS_SIZE: Final = 8 * MIB
CONFIGS_SIZE: Final = 8 * MIB
TOKEN_SIZE: Final = 64 * KIB
TAG_PAGE_SIZE: Final = 4 * MIB
ERROR_BODY_SIZE: Final = 16 * KIB
CREDENTIALS_FILE_SIZE: Final = 1 * MIB
HELPER_OUTPUT_SIZE: Final = 64 * KIB
LAYOUT_INDEX_SIZE: Final = 4 * MIB
LAYOUT_FILE_SIZE: Final = 4 * KIB
POLICY_SIZE: Final = 1 * MIB
POLICY_DEPTH: Final = 16
# Of this host's runtimes: a file, and the entries of a folder.
HOST_CONFIG_SIZE: Final = 256 * KIB
HOST_CONFIG_ENTRIES: Final = 1000

# JSON.
JSON_DEPTH: Final = 32
JSON_INTEGER_DIGITS: Final = 19
JSON_VALUES: Final = 1 << 16
INT64_MAX: Final = 2**63 - 1

# Shapes.
INDEX_ENTRIES: Final = 1000
INDEX_CHILDREN: Final = 256
INDEX_DEPTH: Final = 2
LAYERS: Final = 512
REFERENCE_LENGTH: Final = 1024
REPOSITORY_LENGTH: Final = 255
HOST_LENGTH: Final = 253
TAG_LENGTH: Final = 128
MEDIA_TYPE_LENGTH: Final = 255
DISPLAY_LENGTH: Final = 512
#: Characters of a command that is shown to be copied.
COSIGN_COMMAND: Final = 16384
PATH_LENGTH: Final = 4096

# Signatures. An SBOM in an attestation has megabytes, all else is small.
BUNDLE_SIZE: Final = 16 * MIB
TRUSTED_ROOT_SIZE: Final = 4 * MIB
KEY_FILE_SIZE: Final = 1 * MIB
# What the TUF client of python-tuf allows; its own bounds, written down.
TUF_ROOT_SIZE: Final = 512_000
TUF_TIMESTAMP_SIZE: Final = 16_384
TUF_SNAPSHOT_SIZE: Final = 2_000_000
TUF_TARGETS_SIZE: Final = 5_000_000
TUF_ROTATIONS: Final = 256
TUF_DELEGATIONS: Final = 32
TUF_STATE_SIZE: Final = 4 * KIB
ARTIFACT_SIZE: Final = 64 * MIB
CERTIFICATE_SIZE: Final = 64 * KIB
TIMESTAMP_SIZE: Final = 64 * KIB
CHECKPOINT_SIZE: Final = 64 * KIB
PAYLOAD_SIZE: Final = 1 * MIB
CERTIFICATES: Final = 16
LOG_ENTRIES: Final = 32
TIMESTAMPS: Final = 32
CHECKPOINT_SIGNATURES: Final = 64
PROOF_HASHES: Final = 64
STATEMENT_SUBJECTS: Final = 4096
# What a pattern is held against: names and URLs, and no more than a slow pattern can take.
MATCHED_LENGTH: Final = 1024
TRUSTED_ROOTS: Final = 16
AUTHORITIES: Final = 64
RSA_BITS: Final = (2048, 8192)
CLOCK_SKEW: Final = 60.0

# Copies on this machine. Of each blob of a layout the first byte is read, and the whole of what
# may be a manifest: a signature may be listed nowhere.
LAYOUT_BLOBS: Final = 10_000
LAYOUT_SCAN_SIZE: Final = 256 * MIB
ARCHIVE_MEMBERS: Final = 20_000
ARCHIVE_HEADER_SIZE: Final = 64 * KIB
ARCHIVE_NAME_LENGTH: Final = 1024
ARCHIVE_IMAGES: Final = 1000

# HTTP.
URL_LENGTH: Final = 8 * KIB
CHALLENGE_LENGTH: Final = 8 * KIB
PROXY_HEAD_SIZE: Final = 16 * KIB
REDIRECTS: Final = 5
# What one token is to allow: challenges may name more scopes than were asked for.
SCOPES: Final = 4
RETRIES: Final = 3
# Where the registry says how long to wait: others who wait as well may be quicker every time.
RATE_LIMIT_RETRIES: Final = 12
SOURCE_FAILURES: Final = 3
REFERRER_PAGES: Final = 8
REFERRERS: Final = 100
SIGNATURES: Final = 64
SIGNATURES_SIZE: Final = 64 * MIB
SIGNATURE_FINDINGS: Final = 8
TAG_PAGES: Final = 50
TAGS: Final = 50_000
# What is waited for is what `verify` takes at most by default; what is said is shown only.
RETRY_AFTER: Final = 300.0
RETRY_AFTER_SAID: Final = 366 * 24 * 3600.0
REQUEST_TIMEOUT: Final = 30.0
CONNECT_TIMEOUT: Final = 15.0
STALL_TIMEOUT: Final = 30.0
HELPER_TIMEOUT: Final = 20.0
# Runs that share a layout keep one another waiting for as long as renaming takes.
LOCK_TIMEOUT: Final = 60.0
# A blob's deadline is REQUEST_TIMEOUT + size / BLOB_MIN_RATE: slow is allowed, endless is not.
BLOB_MIN_RATE: Final = 16 * KIB
CHUNK: Final = 256 * KIB
TOKEN_LIFETIME: Final = 60.0
TOKEN_LIFETIME_MAX: Final = 3600.0

# Comparing.
TAG_MOVES: Final = 3

# Probing a mirror. Few make more than 15 requests necessary, redirects and logins included.
PROBE_REQUESTS: Final = 20
PROBE_IMAGE_REQUESTS: Final = 5
PROBE_TIMEOUT: Final = 10.0
PROBE_FAILURES: Final = 2
PROBE_BLOB_SIZE: Final = 256 * KIB


# Reading layers: ratio counts once EXPANSION_FREE bytes have come out.
EXPANSION_RATIO: Final = 200
EXPANSION_FREE: Final = 10 * MIB
EXPANSION_MEMBERS: Final = 1_000_000
EXPANDED_SIZE: Final = 64 * GIB
BLOB_SIZE: Final = 128 * GIB

# Looking for references in files. Rendered charts have megabytes, schemas nest deep.
GATE_FILE_SIZE: Final = 4 * MIB
GATE_FILES: Final = 10_000
GATE_SIZE: Final = 256 * MIB
GATE_ENTRIES: Final = 200_000
GATE_FOLDER_DEPTH: Final = 64
GATE_REFERENCES: Final = 10_000
GATE_REFERENCES_ALL: Final = 100_000
# Documents of one file that do not parse: some take long to fail.
GATE_TROUBLES: Final = 16
# Verified at once; each has threads of its own, for its sources.
GATE_AT_ONCE: Final = 64
YAML_DEPTH: Final = 128
YAML_NODES: Final = 500_000
SUBSTITUTION_DEPTH: Final = 8
STAGES: Final = 1000
