//go:build tools

// Package tools imports the peer's main package, so that go.mod and go.sum pin all that its build needs.
package tools

import _ "github.com/sigstore/fulcio"
